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

/// The new tokens' queries in one layer, and the keys and values they add to its cache.
public struct CachedQueries: Sendable {
    /// Rows [heads·keyDim | kvHeads·keyDim | kvHeads·valueDim], queries and keys rotated; without values where these are the
    /// keys', and without either in a layer that reads another's.
    public var rows: Storage
    /// Query heads.
    public var heads: Int
    /// What the layer caches.
    public var geometry: KVGeometry
    /// Factor on the scores.
    public var scale: Float
    /// Whether the attention that each cached token gets is asked for too: what evictions go by (Zhang et al. 2023, H2O).
    public var wantsMass = false

    /// Rows of a layer's projections, laid end to end; a `scale` of nil is 1/√keyDim.
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
    /// For each sequence of the step the attention its tokens got in each KV head, [kvHeads, tokens], held and new ones: summed
    /// over rows and over the query heads that share it, as evictions are decided a KV head. Empty where
    /// ``CachedQueries/wantsMass`` is false. What lies outside every row's window got none.
    public var mass: [Storage]

    /// What a cache's attention gave.
    public init(output: Storage, logSumExp: Storage, mass: [Storage] = []) {
        self.output = output
        self.logSumExp = logSumExp
        self.mass = mass
    }

    /// The attention of the same queries over both parts' keys, which have none in common: exactly that, up to rounding.
    ///
    /// With w the softmax of the parts' log-sum-exps, output = Σ w_i·output_i and logSumExp = ln Σ e^logSumExp_i. A part without
    /// keys has −∞ and no weight. The parts' masses are sums over rows of unequal weights and cannot be merged: there are none.
    ///
    /// Precondition: as many rows of as many heads and values on both sides.
    public func merged(with other: CachedAttention) -> CachedAttention {
        let merged = AttentionMerge.merge([(output, logSumExp), (other.output, other.logSumExp)])
        return CachedAttention(output: merged.output, logSumExp: merged.logSumExp)
    }
}

/// The keys and values of earlier tokens, with attention over them.
///
/// Contiguous and paged caches differ only inside. A pass calls ``attend(layer:_:_:)`` once a layer, then ``commit(_:)``.
public protocol KVCache {
    /// Tokens held for `sequence`.
    func length(of sequence: Int) -> Int
    /// Stores the new tokens' keys and values and attends from each to the tokens up to itself that the layer's window lets
    /// it see. A layer that reads another's comes after it in the pass and stores nothing.
    mutating func attend(layer: Int, _ queries: CachedQueries, _ step: RaggedBatch) -> CachedAttention
    /// Counts the new tokens as held, after the last layer.
    mutating func commit(_ step: RaggedBatch)
}
