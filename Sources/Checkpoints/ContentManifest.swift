import Files
import Kernels

/// What a checkpoint's content hash is taken over: a text with one line for every part, in a fixed order.
///
/// Two checkpoints have the same hash exactly if they hold the same content, however their files are laid out.
struct ContentManifest {
    var config = ""
    var tokenIDs = ""
    var lineage = ""
    var tokenizer: (kind: String, digest: SHA256Digest)?
    var weights: [(name: String, type: String, shape: [Int], digest: String)] = []
    var trainingState: String?
    var trainingArrays: [(name: String, count: Int, digest: String)] = []

    /// The content hash, in hexadecimal.
    var hash: String {
        var lines = ["kvlab content 1"]
        lines.append("config \(SHA256Digest(of: config))")
        lines.append("tokens \(SHA256Digest(of: tokenIDs))")
        lines.append("lineage \(SHA256Digest(of: lineage))")
        if let tokenizer { lines.append("tokenizer \(tokenizer.kind) \(tokenizer.digest)") }
        for weight in weights.sorted(by: { $0.name < $1.name }) {
            lines.append("weight \(weight.name) \(weight.type) \(weight.shape) \(weight.digest)")
        }
        if let trainingState { lines.append("training \(SHA256Digest(of: trainingState))") }
        for array in trainingArrays.sorted(by: { $0.name < $1.name }) {
            lines.append("array \(array.name) \(array.count) \(array.digest)")
        }
        return SHA256Digest(of: lines.joined(separator: "\n")).hex
    }
}
