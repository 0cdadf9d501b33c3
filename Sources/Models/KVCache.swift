import Kernels

/// New tokens of several sequences, of different numbers each, for one pass with a cache.
public struct RaggedBatch: Sendable {
    /// The cache's number for each sequence; no sequence twice.
    public var sequences: [Int]
    /// New tokens of each, at least one.
    public var counts: [Int]
    /// Their ids, sequence after sequence.
    public var tokens: [Int32]

    /// A step of `counts[i]` new tokens for each `sequences[i]`, the ids laid end to end.
    ///
    /// Precondition: one count for each sequence, each at least 1, and as many tokens as they add up to.
    public init(sequences: [Int], counts: [Int], tokens: [Int32]) {
        precondition(
            sequences.count == counts.count && counts.allSatisfy { $0 > 0 } && counts.reduce(0, +) == tokens.count,
            "RaggedBatch: counts \(counts) for \(sequences.count) sequences and \(tokens.count) tokens")
        self.sequences = sequences
        self.counts = counts
        self.tokens = tokens
    }

    /// The row of each sequence's last token.
    public var lastRows: [Int32] {
        var row = -1
        return counts.map {
            row += $0
            return Int32(row)
        }
    }

    /// Each token's position in its sequence.
    public func positions(in cache: some KVCache) -> [Int32] {
        zip(sequences, counts).flatMap { sequence, count in
            let held = cache.length(of: sequence)
            return (held..<held + count).map { Int32($0) }
        }
    }
}

/// The new tokens' projections in one layer: rows [heads·d | kvHeads·d | kvHeads·d], queries and keys rotated.
public struct CachedQueries: Sendable {
    /// [tokens, (heads + 2·kvHeads)·d].
    public var qkv: Storage
    /// Query heads.
    public var heads: Int
    /// Key and value heads.
    public var kvHeads: Int
    /// Width of a head.
    public var headDim: Int

    /// Rows of a layer's projections, laid end to end.
    public init(qkv: Storage, heads: Int, kvHeads: Int, headDim: Int) {
        self.qkv = qkv
        self.heads = heads
        self.kvHeads = kvHeads
        self.headDim = headDim
    }
}

/// Attention outputs with their log-sum-exp, so that parts over different keys merge exactly.
public struct CachedAttention: Sendable {
    /// [tokens, heads·d].
    public var output: Storage
    /// [tokens, heads].
    public var logSumExp: Storage

    /// What a cache's attention gave.
    public init(output: Storage, logSumExp: Storage) {
        self.output = output
        self.logSumExp = logSumExp
    }
}

/// Keys and values of earlier tokens: holds what it holds and attends over itself.
///
/// Contiguous and paged caches differ only inside. A pass calls ``attend(layer:_:_:)`` once a layer, then ``commit(_:)``.
public protocol KVCache {
    /// Tokens held for `sequence`.
    func length(of sequence: Int) -> Int
    /// Stores the new tokens' keys and values and attends from each to all tokens up to itself.
    mutating func attend(layer: Int, _ queries: CachedQueries, _ step: RaggedBatch) -> CachedAttention
    /// Counts the new tokens as held, after the last layer.
    mutating func commit(_ step: RaggedBatch)
}
