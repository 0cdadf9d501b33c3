import Files
import Foundation
import Kernels
import Models
import Text

extension Llama2cFile {
    /// Writes `checkpoint` as a folder of llama2.c's `model.bin`, in Float32, and `tokenizer.bin`, with a model card,
    /// atomically.
    ///
    /// Throws ``ImportError`` if llama2.c's `run.c` cannot compute the model.
    ///
    /// - Returns: the reason that the tokenizer was left out; nil if it was not.
    @discardableResult
    public static func export(_ checkpoint: Checkpoint, to directory: String) throws -> String? {
        try refuseUnsupported(checkpoint.config)
        try checkpoint.parameters.validate(against: checkpoint.config)
        let tokenizer: [UInt8]?
        var omitted: String?
        do throws(TextError) { tokenizer = try tokenizerBytes(checkpoint) } catch {
            tokenizer = nil
            omitted = error.description
        }
        if tokenizer == nil, omitted == nil, checkpoint.tokenizer != nil {
            omitted = "llama2.c wants SentencePiece BPE with BOS and EOS at 1 and 2 and the bytes from 3 on"
        }
        try NewFolder.create(directory) { temporary in
            try writeModel(checkpoint, to: temporary + "/model.bin")
            if let tokenizer { try AtomicFile.write(tokenizer, to: temporary + "/tokenizer.bin") }
            try AtomicFile.write(Array(ModelCard.text(checkpoint, library: "llama2.c").utf8), to: temporary + "/README.md")
        }
        return omitted
    }

    private static func tokenizerBytes(_ checkpoint: Checkpoint) throws(TextError) -> [UInt8]? {
        guard let tokenizer = checkpoint.tokenizer else { return nil }
        if tokenizer.kind == "llama2.c" { return tokenizer.bytes }
        return try GGUFVocabulary(tokenizer, vocabularySize: checkpoint.config.vocabularySize).llama2cBytes
    }

    private static func refuseUnsupported(_ config: ModelConfig) throws {
        try config.validate()
        func refuse(_ reason: String) -> ImportError { .notExpressible(in: "llama2.c", reason: reason) }
        guard let heads = config.heads.uniform, config.kvHeads.uniform != nil, let headDim = config.headDim.uniform else {
            throw refuse("heads differ between layers")
        }
        guard heads * headDim == config.hiddenSize else {
            throw refuse("'head_dim' \(headDim) × \(heads) heads is not 'hidden_size' \(config.hiddenSize)")
        }
        if let part = config.partsBeyondLlama.first { throw refuse("it has \(part)") }
        guard config.normEpsilon == 1e-5 else {
            throw refuse("'rms_norm_eps' is \(config.normEpsilon), run.c computes with 1e-05")
        }
        guard config.ropeTheta == 10_000 else { throw refuse("'rope_theta' is \(config.ropeTheta), run.c computes with 10000") }
    }

    private static func writeModel(_ checkpoint: Checkpoint, to path: String) throws {
        let config = checkpoint.config
        var file = try AtomicFile(path: path)
        let numbers = [
            config.hiddenSize, config.feedForwardSize, config.layers, config.heads[0], config.kvHeads[0],
            config.tiedEmbeddings ? config.vocabularySize : -config.vocabularySize, config.maxSequence,
        ]
        try file.append(numbers.flatMap { Int32(truncatingIfNeeded: $0).littleEndianBytes })
        let order = order(config)
        for name in order.beforeTables { try append(checkpoint, name, to: &file) }
        for function in [{ (angle: Double) in cos(angle) }, { sin($0) }] {
            let headDim = config.headDim[0]
            for position in 0..<config.maxSequence {
                try file.append(
                    (0..<headDim / 2).flatMap { pair -> [UInt8] in
                        let angle = Double(position) * pow(config.ropeTheta, -2 * Double(pair) / Double(headDim))
                        return Float(function(angle)).bitPattern.littleEndianBytes
                    })
            }
        }
        for name in order.behindTables { try append(checkpoint, name, to: &file) }
        try file.commit()
    }

    private static func append(_ checkpoint: Checkpoint, _ name: WeightName, to file: inout AtomicFile) throws {
        guard let weight = checkpoint.parameters[name] else { return }
        let stored = RotaryOrder.interleaved(weight, name, checkpoint.config)
        try unsafe stored.forEachPiece(as: .float32) { try unsafe file.append($0) }
    }
}
