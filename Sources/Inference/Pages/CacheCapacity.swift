import Kernels
import Models

/// The number of sequences of one length that a model's cache holds, found by admitting them.
public struct CacheCapacity: Sendable, Encodable {
    /// Sequences that fit.
    public var sequences: Int
    /// Tokens of each.
    public var context: Int
    /// Bytes of their keys and values, and of the pages allocated for them.
    public var logicalBytes: Int, allocatedBytes: Int
    /// Cache bytes of a token over all layers.
    public var bytesPerToken: Int
    /// Slots of a sequence a KV head, on average.
    public var slotsKept: Double

    /// Adds sequences of `context` tokens to a pool of `bytes`, in chunks of `chunk` tokens, until one finds no free pages.
    ///
    /// Pages are reserved, and freed behind windows and by `retention`, as in serving: all tokens of a chunk, and before the
    /// decision at its end those of the prompt, `context` tokens, are resident while it is computed. Heads that share a budget are
    /// counted with the most pages that they can divide it into. The pages' memory isn't touched. Throws ``InferenceError`` where the pool cannot be had or the model has fewer positions.
    public static func measure(
        _ config: ModelConfig, encoding: CacheEncoding, retention: any Retention = FullRetention(), bytes: Int, pageBytes: Int,
        context: Int,
        chunk: Int = Scheduler.Limits().tokensPerStep
    ) throws(InferenceError) -> CacheCapacity {
        precondition(context > 0 && chunk > 0, "CacheCapacity: \(context) tokens in chunks of \(chunk)")
        guard context <= config.maxSequence else { throw .tooManyTokens(context, limit: config.maxSequence) }
        try retention.check(config, prompt: context)
        let store = try PageStore(bytes: bytes, pageBytes: pageBytes)
        var cache = try PagedKVCache(config: config, encoding: encoding, retention: retention, store: store)
        cache.countsOnly = true
        var count = 0
        while true {
            cache.add(count)
            cache.setPromptLength(count, context)
            guard cache.advance(count, to: context, chunk: chunk) else { break }
            count += 1
        }
        cache.remove(count)
        let held = cache.bytesHeld
        let slots = count > 0 ? cache.slotsKept(0) : 0
        return CacheCapacity(
            sequences: count, context: context, logicalBytes: held.logical, allocatedBytes: held.allocated,
            bytesPerToken: config.kvBytesPerToken(encoding), slotsKept: slots)
    }
}

extension PagedKVCache {
    /// Reserves and commits tokens of a sequence without attention, in chunks of at most `chunk`, until it has `tokens`; false where
    /// a chunk finds no free pages.
    mutating func advance(_ sequence: Int, to tokens: Int, chunk: Int) -> Bool {
        while length(of: sequence) < tokens {
            let count = min(chunk, tokens - length(of: sequence), tokensToDecision(sequence) ?? .max)
            let step = RaggedBatch(sequences: [sequence], counts: [count], tokens: [Int32](repeating: 0, count: count))
            guard reserve(step) else { return false }
            commit(step)
        }
        return true
    }
}
