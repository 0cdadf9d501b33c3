import Kernels
import Models

/// The most bytes that a sequence holds while it decodes, counted without computing its keys and values.
public struct CacheFootprint: Sendable, Hashable {
    /// Bytes of its pages, and of sidecars (positions, attention mass, statistics), at the step of their peak sum.
    public private(set) var allocatedBytes = 0, sidecarBytes = 0

    /// Bytes in all.
    public var bytes: Int { allocatedBytes + sidecarBytes }

    /// Counts a sequence of `tokens`, of which the first `prompt` are its prompt, in pages of `pageBytes`.
    ///
    /// Between two decisions of an eviction a sequence grows beyond its budget; the prompt's own peak is not counted. Heads that share
    /// a budget are counted with the most pages that they can divide it into. Throws
    /// ``InferenceError`` where the cache does not fit the model.
    public static func most(
        _ config: ModelConfig, encoding: CacheEncoding, retention: any Retention, pageBytes: Int, prompt: Int, tokens: Int
    ) throws(InferenceError) -> CacheFootprint {
        var cache = try PagedKVCache(
            config: config, encoding: encoding, retention: retention, pageBytes: pageBytes, tokens: tokens, chunk: 256)
        cache.countsOnly = true
        cache.add(0)
        cache.setPromptLength(0, prompt)
        cache.advance(to: prompt)
        var most = CacheFootprint()
        while cache.length(of: 0) < tokens {
            let length = cache.length(of: 0)
            let decision = cache.tokensToDecision(0).map { length + $0 } ?? .max
            // Just before a decision, or at it where it is the next token's.
            cache.advance(to: decision == length + 1 ? decision : min(tokens, decision - 1))
            let sidecar = cache.sidecarBytes(of: 0) + cache.observedBytes(config)
            let held = CacheFootprint(allocatedBytes: cache.bytesHeld.allocated, sidecarBytes: sidecar)
            if held.bytes > most.bytes { most = held }
        }
        return most
    }
}

extension PagedKVCache {
    /// Advances sequence 0 to `tokens`, for which its own pool has pages.
    fileprivate mutating func advance(to tokens: Int) {
        let hasPages = advance(0, to: tokens, chunk: 256)
        precondition(hasPages, "CacheFootprint: a pool of its own has too few pages for \(tokens) tokens")
    }

    /// Bytes of the attention mass and of the statistics of queries that the retention would have of sequence 0.
    fileprivate func observedBytes(_ config: ModelConfig) -> Int {
        let table = table(of: 0)
        let layers = geometry.indices.filter { geometry[$0].source == nil }
        return retentions(of: 0).enumerated().reduce(0) { total, entry in
            let (stream, retention) = entry
            var bytes = 0
            // Mass is there from the first observed query on, until a decision that sums it anew.
            let (newest, prompt) = (table.tokens - 1..<table.tokens, prompt(of: 0))
            let isNew = retention.nextDecision(after: table.tokens - 1, prompt: prompt) == table.tokens && !retention.accumulates
            if !isNew, !retention.observed(newest, prompt: prompt).isEmpty {
                let sums = [RetentionInputs.mass, .rows].count(where: retention.inputs.contains)
                bytes += 4 * sums * table.slots(stream) * shapes[stream].kvHeads
            }
            if retention.inputs.contains(.queries) {
                // All heads of a layer together.
                let dim = shapes[stream].keyDim
                if let own = layerStreams.firstIndex(where: { $0.lowerBound == stream }) {
                    bytes += 8 * config.heads[layers[own]] * (dim + dim * dim)
                }
            }
            return total + bytes
        }
    }
}
