import Kernels

/// A contiguous KV cache: one buffer a layer and sequence, [tokens, kvHeads, d], of fixed capacity.
///
/// Tokens behind a window stay in place, unread: ``bytesHeld`` counts only the tokens that have to be kept. Copies share memory:
/// use only one of them afterwards.
public struct ContiguousKVCache: KVCache, Sendable {
    /// The most tokens of each sequence.
    public let capacity: Int
    private let geometry: [KVGeometry]
    /// Keys by layer and sequence; none for a layer that shares another's cache. No values are stored where these are the keys'.
    private var keys: [[Storage]]
    private var values: [[Storage?]]
    private var lengths: [Int]

    /// A cache for `sequences` sequences of at most `capacity` tokens each.
    public init(config: ModelConfig, sequences: Int = 1, capacity: Int) {
        self.init(geometry: config.kvGeometry(.float32), sequences: sequences, capacity: capacity)
    }

    /// A cache of layers of `geometry` for `sequences` sequences of at most `capacity` tokens each.
    public init(geometry: [KVGeometry], sequences: Int = 1, capacity: Int) {
        self.capacity = capacity
        self.geometry = geometry
        lengths = [Int](repeating: 0, count: sequences)
        keys = geometry.map { layer in
            guard layer.source == nil else { return [] }
            return (0..<sequences).map { _ in Storage(count: capacity * layer.kvHeads * layer.keyDim) }
        }
        values = geometry.map { layer in
            guard layer.source == nil else { return [] }
            return (0..<sequences).map { _ in
                layer.valuesAreKeys ? nil : Storage(count: capacity * layer.kvHeads * layer.valueDim)
            }
        }
    }

    /// Tokens committed for `sequence`, numbered from 0.
    public func length(of sequence: Int) -> Int { lengths[sequence] }

    /// Bytes of the keys and values of the tokens to keep.
    public var bytesHeld: Int {
        lengths.reduce(0) { total, tokens in total + geometry.reduce(0) { $0 + $1.bytes(tokens: tokens) } }
    }

    /// Stores the new tokens' keys and values, then attends: rows [tokens, rowWidth] → [tokens, heads·valueDim].
    ///
    /// Precondition: no sequence grows past ``capacity``. Keys and values are stored in Float32.
    public mutating func attend(layer: Int, _ queries: CachedQueries, _ step: RaggedBatch) -> CachedAttention {
        let tokens = step.tokens.count
        let shape = geometry[layer]
        let store = shape.source ?? layer
        let output = Storage(count: tokens * queries.heads * shape.valueDim)
        let logSumExp = Storage(count: tokens * queries.heads)
        var row = 0
        for (sequence, count) in zip(step.sequences, step.counts) {
            let held = lengths[sequence]
            precondition(held + count <= capacity, "ContiguousKVCache: \(held + count) tokens, room for \(capacity)")
            let (keys, values) = (keys[store][sequence], values[store][sequence])
            if shape.source == nil {
                var column = queries.heads * shape.keyDim
                for (cache, width) in [(Optional(keys), shape.kvHeads * shape.keyDim), (values, shape.kvHeads * shape.valueDim)] {
                    guard let cache else { continue }
                    StridedCopy.copy(
                        .init(queries.rows, offset: row * queries.rowWidth + column, strides: [queries.rowWidth, 1]),
                        to: .init(cache, offset: held * width, strides: [width, 1]), extents: [count, width])
                    column += width
                }
            }
            var kernel = CachedAttentionKernel(
                queries: count, heads: queries.heads, kvHeads: shape.kvHeads, keyDim: shape.keyDim, valueDim: shape.valueDim,
                scale: queries.scale, firstPosition: held)
            (kernel.window, kernel.sinks) = (shape.window, shape.sinks)
            kernel.run(
                rows: queries.rows, width: queries.rowWidth, firstRow: row, keys: keys, values: values, into: output,
                logSumExp: logSumExp)
            row += count
        }
        return CachedAttention(output: output, logSumExp: logSumExp)
    }

    /// Commits the step's tokens; uncommitted ones are overwritten by the next ``attend(layer:_:_:)``.
    public mutating func commit(_ step: RaggedBatch) {
        for (sequence, count) in zip(step.sequences, step.counts) { lengths[sequence] += count }
    }
}
