import Files
import Foundation
import Kernels
import Models

/// A model file of llama2.c's `export.py` (version 0): seven int32, then float32 weights, layer after layer of one kind at a
/// time. Source: karpathy/llama2.c, `run.c`.
///
/// Queries and keys are in interleaved RoPE order (2i, 2i + 1); reading reorders them to half-split order (i, i + d/2).
public enum Llama2cFile {
    private static let headerBytes = 28

    /// Reads the file at `path`; nil if its size does not match its first seven numbers, so that it is no such file.
    static func load(_ path: String) throws -> Checkpoint? {
        let file = try MappedFile(path: path)
        guard file.count >= headerBytes, let config = try header(file) else { return nil }
        var reader = Reader(file: file, offset: headerBytes)
        let shapes = Dictionary(uniqueKeysWithValues: config.weights.map { ($0.name, $0.shape) })
        var weights: [WeightName: Weight] = [:]
        let order = order(config)
        for name in order.beforeTables { weights[name] = shapes[name].map { reader.next($0) } }
        // Tables of cosines and sines, which follow from the configuration.
        reader.offset += 4 * config.maxSequence * config.headDim[0]
        for name in order.behindTables { weights[name] = shapes[name].map { reader.next($0) } }
        var parameters = Parameters()
        for (name, _) in config.weights { parameters[name] = weights[name].map { RotaryOrder.halfSplit($0, name, config) } }
        let name = URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
        return Checkpoint(
            config: config, parameters: parameters, tokenIDs: TokenIDs(bos: 1, eos: [2]),
            lineage: Lineage(name: name, source: "llama2.c file '\(name)'"))
    }

    /// The configuration; nil if it is invalid or the file has another size.
    private static func header(_ file: MappedFile) throws -> ModelConfig? {
        let bytes = try file.bytes(in: 0..<headerBytes)
        let numbers = (0..<7).map { Int(Int32(littleEndianBytes: bytes[4 * $0..<4 * $0 + 4])) }
        let (dim, hidden, layers, heads, kvHeads, seq) = (numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[6])
        guard dim > 0, heads > 0, dim % heads == 0, numbers[5] != Int(Int32.min) else { return nil }
        let config = ModelConfig(
            vocabularySize: abs(numbers[5]), hiddenSize: dim, feedForwardSize: hidden, layers: layers, heads: .all(heads),
            kvHeads: .all(kvHeads), headDim: .all(dim / heads), maxSequence: seq, tiedEmbeddings: numbers[5] > 0)
        do throws(ModelConfigError) { try config.validate() } catch { return nil }
        var bytesLeft = file.count - headerBytes
        for shape in config.weights.map(\.shape) + [[seq, dim / heads]] {
            guard let size = shape.byteCount(elementBytes: 4), size <= bytesLeft else { return nil }
            bytesLeft -= size
        }
        return bytesLeft == 0 ? config : nil
    }

    /// The weights in the file's order: kind by kind, each for all layers; the output projection of an untied model follows
    /// RoPE's tables.
    static func order(_ config: ModelConfig) -> (beforeTables: [WeightName], behindTables: [WeightName]) {
        let kinds: [WeightName.Module] = [
            .attentionNorm, .query, .key, .value, .output, .feedForwardNorm, .gate, .down, .up,
        ]
        let layers = kinds.flatMap { kind in (0..<config.layers).map { WeightName(kind, layer: $0) } }
        return (
            [WeightName(.embedding)] + layers + [WeightName(.finalNorm)], config.tiedEmbeddings ? [] : [WeightName(.head)]
        )
    }

    /// A reader of consecutive weights, mapped from the file, whose size ``header(_:)`` has checked.
    private struct Reader {
        let file: MappedFile
        var offset: Int

        mutating func next(_ shape: [Int]) -> Weight {
            defer { offset += 4 * shape.reduce(1, *) }
            return Weight(elementType: .float32, shape: shape, file: file, byteOffset: offset)
        }
    }
}
