import Kernels

/// A cache with room for a fixed number of tokens of each sequence, in one piece a layer: [tokens, kvHeads, d].
///
/// Memory is shared by copies: use only one of them afterwards.
public struct ContiguousKVCache: KVCache, Sendable {
    /// Tokens each sequence has room for.
    public let capacity: Int
    private let geometry: [KVGeometry]
    private let windows: [Int?]
    private var keys: [[Storage]]
    private var values: [[Storage]]
    private var lengths: [Int]

    /// Room for `sequences` of at most `capacity` tokens.
    public init(config: ModelConfig, sequences: Int = 1, capacity: Int) {
        self.capacity = capacity
        let geometry = config.kvGeometry(.float32)
        self.geometry = geometry
        windows = (0..<config.layers).map { config.window($0) }
        lengths = [Int](repeating: 0, count: sequences)
        func make() -> [[Storage]] {
            geometry.map { layer in (0..<sequences).map { _ in Storage(count: capacity * layer.kvHeads * layer.keyDim) } }
        }
        keys = make()
        values = make()
    }

    /// Tokens committed for `sequence`, which counts from 0.
    public func length(of sequence: Int) -> Int { lengths[sequence] }

    /// Bytes of keys and values that are held for the tokens so far.
    public var bytesHeld: Int {
        lengths.reduce(0) { total, tokens in total + geometry.reduce(0) { $0 + $1.bytes(tokens: tokens) } }
    }

    /// Writes keys and values behind those held, then attends: qkv [tokens, (heads + 2·kvHeads)·d] → [tokens, heads·d].
    ///
    /// Precondition: no sequence grows past ``capacity``. Keys and values are kept in Float32.
    public mutating func attend(layer: Int, _ queries: CachedQueries, _ step: RaggedBatch) -> CachedAttention {
        let tokens = step.tokens.count
        let output = Storage(count: tokens * queries.heads * queries.headDim)
        let logSumExp = Storage(count: tokens * queries.heads)
        var row = 0
        for (sequence, count) in zip(step.sequences, step.counts) {
            let held = lengths[sequence]
            precondition(held + count <= capacity, "ContiguousKVCache: \(held + count) tokens, room for \(capacity)")
            CachedAttentionKernel(
                queries: count, heads: queries.heads, kvHeads: queries.kvHeads, headDim: queries.headDim, firstPosition: held
            ).run(
                qkv: queries.qkv, firstRow: row, keys: keys[layer][sequence], values: values[layer][sequence], into: output,
                logSumExp: logSumExp, window: windows[layer])
            row += count
        }
        return CachedAttention(output: output, logSumExp: logSumExp)
    }

    /// Makes the step's tokens count as held; until then another ``attend(layer:_:_:)`` writes over them.
    public mutating func commit(_ step: RaggedBatch) {
        for (sequence, count) in zip(step.sequences, step.counts) { lengths[sequence] += count }
    }

    /// Forgets all but the first `tokens` of `sequence`.
    public mutating func truncate(_ sequence: Int, to tokens: Int) {
        lengths[sequence] = min(lengths[sequence], tokens)
    }
}
