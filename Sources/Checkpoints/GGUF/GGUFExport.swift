import Kernels
import Models
import Text

/// The export of models as GGUF files for llama.cpp.
public enum GGUFExport {
    /// The element types of the written matrices.
    public enum Precision: Sendable, Equatable {
        /// Each matrix's own.
        case stored
        /// One element type for all.
        case plain(ElementType)
        /// Q8_0: 32 signed bytes with a half-precision scale; matrices without whole blocks in a row are written in F16.
        case q8_0
    }

    /// Writes `checkpoint` to the file at `path`, atomically; norms and biases are kept in Float32.
    ///
    /// KV heads that differ between layers are written as the deci architecture, llama with head counts per layer.
    /// Throws ``ImportError`` if the model has no GGUF form.
    ///
    /// - Returns: the reason that the tokenizer was left out; nil if it was not.
    @discardableResult
    public static func write(_ checkpoint: Checkpoint, to path: String, precision: Precision = .stored) throws -> String? {
        try write(checkpoint, to: path, precision: precision, keys: [])
    }

    /// Writes the file with further `keys` in the metadata.
    @discardableResult
    static func write(
        _ checkpoint: Checkpoint, to path: String, precision: Precision = .stored, keys extra: [GGUFKey]
    ) throws -> String? {
        let config = checkpoint.config
        try config.validate()
        try checkpoint.parameters.validate(against: config)
        var writer = GGUFWriter()
        for key in try metadata(checkpoint, precision) + extra { writer.add(key) }
        var omitted: String?
        var keys: [GGUFKey] = [("tokenizer.ggml.model", .string("none"))]
        if let tokenizer = checkpoint.tokenizer {
            do throws(TextError) {
                var vocabulary = try GGUFVocabulary(tokenizer, vocabularySize: config.vocabularySize)
                vocabulary.bos = vocabulary.bos ?? checkpoint.tokenIDs.bos
                vocabulary.eos = checkpoint.tokenIDs.eos.first ?? vocabulary.eos
                let padding = checkpoint.tokenIDs.specialTokens?[TokenIDs.padding].map { Array($0.utf8) }
                vocabulary.padding = vocabulary.tokens.firstIndex { $0 == padding }.map { Int32($0) }
                keys = GGUFTokenizer.metadata(vocabulary)
            } catch { omitted = error.description }
        }
        if let template = checkpoint.tokenIDs.chatTemplate { keys.append(("tokenizer.chat_template", .string(template))) }
        if let license = checkpoint.tokenIDs.license { keys.append(("general.license", .string(license))) }
        for key in keys { writer.add(key) }
        for (name, _) in config.weights {
            guard let weight = checkpoint.parameters[name], let stored = GGUFLayout.name(of: name) else {
                throw ImportError.notExpressible(in: "GGUF", reason: "'\(name)' has no name there")
            }
            writer.add(stored, RotaryOrder.interleaved(weight, name, config), as: type(weight, precision))
        }
        if let divisors = GGUFRotary.divisors(config, headDim: config.headDim[0]) {
            writer.add(
                GGUFRotary.divisorsName, Weight(shape: [divisors.count], storage: Storage(copying: divisors)), as: .f32)
        }
        try writer.write(to: path)
        return omitted
    }

    private static func type(_ weight: Weight, _ precision: Precision) -> GGMLType {
        guard weight.shape.count > 1 else { return .f32 }
        switch precision {
        case .stored: return GGMLType(weight.elementType)
        case .plain(let type): return GGMLType(type)
        case .q8_0: return (weight.shape.last ?? 1) % 32 == 0 ? .q8_0 : .f16
        }
    }

    private static func metadata(_ checkpoint: Checkpoint, _ precision: Precision) throws -> [GGUFKey] {
        let config = checkpoint.config
        guard let headDim = config.headDim.uniform else {
            throw ImportError.notExpressible(in: "GGUF", reason: "'head_dim' differs between layers, GGUF has one for all")
        }
        let scaling = try config.ropeScaling.map { try GGUFRotary.keys($0) } ?? []
        // The parts that llama.cpp's llama architecture has beyond Llama's.
        let parts = config.partsBeyondLlama.filter { !$0.hasSuffix("biases") && !$0.hasSuffix("RoPE scaling") }
        if let part = parts.first {
            throw ImportError.notExpressible(in: "GGUF", reason: "it has \(part), which is not of the llama architecture")
        }
        let isUniform = config.heads.uniform != nil && config.kvHeads.uniform != nil
        let architecture = isUniform ? GGUFLayout.architecture : GGUFLayout.perLayerArchitecture
        func counts(_ setting: PerLayer<Int>) -> GGUFKeyValue {
            isUniform ? .uint32(setting[0]) : .uint32s((0..<config.layers).map { setting[$0] })
        }
        let width: GGUFKeyValue =
            isUniform ? .uint32(config.feedForwardSize) : .uint32s([Int](repeating: config.feedForwardSize, count: config.layers))
        let fileTypes: [ElementType: Int] = [.float32: 0, .float16: 1, .bfloat16: 32]
        let fileType: Int? =
            switch precision {
            case .stored: checkpoint.elementType.flatMap { fileTypes[$0] }
            case .plain(let type): fileTypes[type]
            case .q8_0: 7
            }
        var keys: [GGUFKey] = [
            ("general.architecture", .string(architecture)), ("general.type", .string("model")),
            ("general.name", .string(checkpoint.lineage.name ?? "kvlab model")),
            // A single file: it contains its model card.
            ("general.description", .string(ModelCard.text(checkpoint, library: "gguf"))),
        ]
        if let fileType { keys.append(("general.file_type", .uint32(fileType))) }
        if precision == .q8_0 { keys.append(("general.quantization_version", .uint32(2))) }
        return keys
            + (scaling + [
                ("vocab_size", .uint32(config.vocabularySize)), ("context_length", .uint32(config.maxSequence)),
                ("embedding_length", .uint32(config.hiddenSize)), ("block_count", .uint32(config.layers)),
                ("feed_forward_length", width), ("attention.head_count", counts(config.heads)),
                ("attention.head_count_kv", counts(config.kvHeads)), ("attention.key_length", .uint32(headDim)),
                ("attention.value_length", .uint32(headDim)), ("rope.dimension_count", .uint32(headDim)),
                ("rope.freq_base", .float(config.ropeTheta)), ("attention.layer_norm_rms_epsilon", .float(config.normEpsilon)),
            ]).map { (architecture + "." + $0.0, $0.1) }
    }
}
