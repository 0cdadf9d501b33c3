import Checkpoints
import Foundation
import TestSupport
import Training

/// Run folders as training leaves them, without the training.
struct RunFolders {
    let scratch = ScratchDirectory()
    var root: String { scratch.path }

    func folder(_ path: String) throws {
        try FileManager.default.createDirectory(atPath: scratch[path], withIntermediateDirectories: true)
    }

    /// Writes recipe and metrics of a run with a validation after each second of `steps` steps.
    func run(_ path: String, name: String, steps: Int = 4, rate: String = "0.001", bits: Double = 2) throws {
        try folder(path)
        try scratch.write(
            Array(#"{"name": "\#(name)", "train": {"steps": \#(steps), "learningRate": \#(rate)}, "data": ["a"]}"#.utf8),
            to: path + "/recipe.json")
        try scratch.write([], to: path + "/lock")
        let metrics = try MetricsFile(path: scratch[path + "/metrics.jsonl"], keepingThrough: 0)
        for step in 1...steps {
            var line = MetricsFile.Line(step: step)
            line.loss = 4 / Double(step)
            line.tokensPerSecond = Double(100 * step)
            if step % 2 == 0 { line.validationBitsPerByte = bits / Double(step) }
            try metrics.write(line)
        }
    }

    /// Writes a checkpoint of `seed`'s weights and returns its content hash.
    @discardableResult
    func checkpoint(_ path: String, seed: UInt64, parent: String? = nil, conversion: String? = nil) throws -> String {
        let config = TinyModel.config()
        var lineage = Lineage(parentHash: parent, name: path, tokensSeen: 10 * Int(seed), steps: Int(seed))
        lineage.conversion = conversion
        return try Checkpoint(config: config, parameters: TinyModel.parameters(config, seed: seed), lineage: lineage)
            .save(to: scratch[path])
    }
}
