import HDF5

/// The listing of a checkpoint by libhdf5: texts, and the offsets of the arrays.
struct CheckpointListing: Codable {
    /// A dataset of the file.
    struct Array: Codable {
        var name: String
        var type: String
        var shape: [Int]
        /// The offset of a contiguous dataset.
        var offset: Int?
        /// The offsets of a chunked dataset's chunks, as libhdf5 counts them, and the elements of a chunk.
        var chunks: [Int]?
        var chunkElements: Int?
        var sha256: String?

        /// Bytes of the elements; nil for an unknown type or on overflow.
        var byteCount: Int? { HDF5Type(rawValue: type).flatMap { shape.byteCount(elementBytes: $0.byteCount) } }
    }

    var format: String?
    var version: Int?
    /// The file's text attributes.
    var texts: [String: String] = [:]
    var weights: [Array] = []
    var tokenizer: Array?
    var tokenizerKind: String?
    var trainingState: String?
    /// The training state's datasets, under `group/name` or a name alone.
    var trainingArrays: [Array] = []

    /// Lists a file in memory.
    init(image: UnsafeRawBufferPointer, path: String) throws(HDF5Error) {
        let file = try unsafe HDF5File.open(image: image, path: path)
        let byteLimit = image.count
        format = try file.text("format")
        version = try file.number("format_version")
        for name in ["config", "token_ids", "lineage", "content_hash"] { texts[name] = try file.text(name) }
        if file.contains(CheckpointLayout.weights) {
            for name in try file.children(of: CheckpointLayout.weights) {
                weights.append(try Self.array(name, at: CheckpointLayout.weight(name), file, byteLimit))
            }
        }
        if file.contains(CheckpointLayout.tokenizer) {
            tokenizer = try Self.array("tokenizer", at: CheckpointLayout.tokenizer, file, byteLimit)
            tokenizerKind = try file.text("kind", on: CheckpointLayout.tokenizer)
        }
        guard file.contains(CheckpointLayout.training) else { return }
        trainingState = try file.text("state", on: CheckpointLayout.training)
        for name in try file.children(of: CheckpointLayout.training) {
            let object = CheckpointLayout.training + "/" + name
            let names = try file.isGroup(object) ? file.children(of: object).map { name + "/" + $0 } : [name]
            for name in names {
                trainingArrays.append(try Self.array(name, at: CheckpointLayout.training + "/" + name, file, byteLimit))
            }
        }
    }

    private static func array(
        _ name: String, at object: String, _ file: borrowing HDF5File, _ byteLimit: Int
    ) throws(HDF5Error) -> Array {
        let dataset = try file.openDataset(object, byteLimit: byteLimit)
        let chunks = try dataset.chunks()
        return Array(
            name: name, type: dataset.type.rawValue, shape: dataset.shape, offset: dataset.fileOffset,
            chunks: chunks?.offsets, chunkElements: chunks?.elements, sha256: try file.text("sha256", on: object))
    }
}
