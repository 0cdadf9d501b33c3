import Files
import Kernels
import Models

/// The manifest over which a checkpoint's content hash is computed: a text with one line for every part, in a fixed order.
///
/// Two checkpoints have the same hash exactly if they have the same content, whatever the layout of their files.
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

extension Checkpoint {
    /// The model's identity: the content hash of a checkpoint file, or for another format the hash of its parts without a
    /// lineage.
    ///
    /// Reads all weights in the second case.
    public func identity() throws -> String {
        if let hash = lineage.contentHash { return hash }
        var manifest = ContentManifest()
        manifest.config = try CanonicalJSON.text(of: config)
        manifest.tokenIDs = try CanonicalJSON.text(of: tokenIDs)
        manifest.tokenizer = tokenizer.map { ($0.kind, SHA256Digest(of: $0.bytes)) }
        for name in parameters.names {
            guard let weight = parameters[name] else { continue }
            let digest = unsafe weight.withUnsafeBytes { unsafe SHA256Digest(of: $0).hex }
            manifest.weights.append((name, weight.elementType.rawValue, weight.shape, digest))
        }
        return manifest.hash
    }
}
