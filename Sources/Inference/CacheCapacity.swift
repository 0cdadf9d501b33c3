import Kernels
import Models

/// How many sequences of a length one model's cache holds, found by filling it.
public struct CacheCapacity: Sendable, Encodable {
    /// Sequences that fit.
    public var sequences: Int
    /// Tokens of each.
    public var context: Int
    /// Bytes of their keys and values, and of the pages these lie in.
    public var logicalBytes: Int, allocatedBytes: Int
    /// Cache bytes of a token over all layers.
    public var bytesPerToken: Int

    /// Fills a pool of `bytes` with sequences of `context` tokens of a model until the next one finds no pages.
    ///
    /// Pages are reserved as in serving, their memory isn't touched. Throws ``InferenceError`` where there is no such pool.
    public static func measure(
        _ config: ModelConfig, elementType: ElementType, bytes: Int, pageBytes: Int, context: Int
    ) throws(InferenceError) -> CacheCapacity {
        let store = try PageStore(bytes: bytes, pageBytes: pageBytes)
        var cache = try PagedKVCache(config: config, elementType: elementType, store: store)
        var count = 0
        while true {
            cache.add(count)
            guard cache.extend(count, to: context) else { break }
            count += 1
        }
        cache.remove(count)
        let held = cache.bytesHeld
        return CacheCapacity(
            sequences: count, context: context, logicalBytes: held.logical, allocatedBytes: held.allocated,
            bytesPerToken: config.kvBytesPerToken(elementType))
    }
}
