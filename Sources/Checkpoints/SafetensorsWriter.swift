import Files
import JSON
import Kernels
import Models

/// A writer of safetensors files in the order of Hugging Face's: wider elements first, then by name, the header padded to 8
/// bytes.
public enum SafetensorsWriter {
    /// Writes `weights` to `path`, atomically.
    ///
    /// - Parameter elementType: the element type that weights are rounded to; nil keeps each weight's own.
    public static func write(
        _ weights: [(name: String, weight: Weight)], to path: String, elementType: ElementType? = nil
    ) throws {
        let entries = weights.map { (name: $0.name, weight: $0.weight, type: elementType ?? $0.weight.elementType) }
            .sorted { ($1.type.byteCount, $0.name) < ($0.type.byteCount, $1.name) }
        // Hugging Face's loaders require the metadata's format to be `pt`.
        var members: [(String, JSONValue)] = [("__metadata__", .object(["format": .text("pt")]))]
        var offset = 0
        for entry in entries {
            let end = offset + entry.weight.count * entry.type.byteCount
            let tensor: JSONValue = .object([
                "dtype": .text(entry.type.rawValue), "shape": .array(entry.weight.shape.map { .int($0) }),
                "data_offsets": .array([.int(offset), .int(end)]),
            ])
            members.append((entry.name, tensor))
            offset = end
        }
        var header = JSONValue.object(of: members).compact
        header += [UInt8](repeating: 0x20, count: (8 - header.count % 8) % 8)
        guard header.count <= SafetensorsFile.headerLimit else {
            throw ImportError.malformed(path: path, format: "safetensors", reason: "the header would be \(header.count) bytes")
        }
        var file = try AtomicFile(path: path)
        try file.reserve(8 + header.count + offset)
        try file.append(UInt64(header.count).littleEndianBytes + header)
        for entry in entries { try unsafe entry.weight.forEachPiece(as: entry.type) { try unsafe file.append($0) } }
        try file.commit()
    }
}
