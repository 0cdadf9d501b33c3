import Kernels

/// A ragged batch: new tokens of several sequences, different numbers of each, for one pass with a cache.
public struct RaggedBatch: Sendable {
    /// The sequences' numbers in the cache; no sequence twice.
    public var sequences: [Int]
    /// New tokens of each, at least one.
    public var counts: [Int]
    /// The token ids, sequence after sequence.
    public var tokens: [Int32]

    /// A step of `counts[i]` new tokens for each `sequences[i]`, the ids concatenated.
    ///
    /// Precondition: one count for each sequence, each at least 1, and their sum equals the number of tokens.
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

/// The new tokens' queries in one layer, and the keys and values to cache.
public struct CachedQueries: Sendable {
    /// Rows [heads·keyDim | kvHeads·keyDim | kvHeads·valueDim], queries and keys rotated; without values where these are the
    /// keys', and queries alone in a layer that shares another's cache.
    public var rows: Storage
    /// Query heads.
    public var heads: Int
    /// The layer's cache geometry.
    public var geometry: KVGeometry
    /// Factor on the scores.
    public var scale: Float

    /// Concatenated rows of a layer's projections; a `scale` of nil is 1/√keyDim.
    public init(rows: Storage, heads: Int, geometry: KVGeometry, scale: Float? = nil) {
        self.rows = rows
        self.heads = heads
        self.geometry = geometry
        self.scale = scale ?? 1 / Float(geometry.keyDim).squareRoot()
    }

    /// Elements of a row.
    public var rowWidth: Int { heads * geometry.keyDim + geometry.elementsPerToken }
}

/// Attention outputs with their log-sum-exp, so that parts over different keys merge exactly.
public struct CachedAttention: Sendable {
    /// [tokens, heads·valueDim].
    public var output: Storage
    /// [tokens, heads].
    public var logSumExp: Storage

    /// The result of attention over a cache.
    public init(output: Storage, logSumExp: Storage) {
        self.output = output
        self.logSumExp = logSumExp
    }
}

/// A KV cache: the keys and values of earlier tokens, with attention over them.
///
/// Contiguous and paged caches share this interface. A pass calls ``attend(layer:_:_:)`` once a layer, then ``commit(_:)`` and
/// ``finish(_:by:)``.
public protocol KVCache {
    /// Tokens committed for `sequence`.
    func length(of sequence: Int) -> Int
    /// Stores the new tokens' keys and values, then attends from each to the tokens up to itself that the layer's window shows. A
    /// layer that shares another's cache comes after it in the pass and stores nothing.
    mutating func attend(layer: Int, _ queries: CachedQueries, _ step: RaggedBatch) -> CachedAttention
    /// Commits the step's tokens, after the last layer.
    mutating func commit(_ step: RaggedBatch)
    /// Ends a committed step of `model`, which may run further passes for the cache's sake; does nothing by default.
    mutating func finish(_ step: RaggedBatch, by model: ServingModel)
}

extension KVCache {
    public mutating func finish(_ step: RaggedBatch, by model: ServingModel) {}
}
