import Inference
import Models

extension UptrainRecipe {
    /// The compressed cache that a model is uptrained through.
    public struct Through: Sendable, Hashable, Encodable {
        /// The cache.
        public var cache: CacheSpec
        /// Tokens of a document's prompt, behind which policies decide; nil: half of a sequence.
        public var prefill: Int?

        /// The prompt beside the cache's own keys.
        public func encode(to encoder: any Encoder) throws {
            if let prefill { try ["prefill": prefill].encode(to: encoder) }
            try cache.encode(to: encoder)
        }
    }
}

extension ObjectReader {
    /// The cache of `through`; nil where it is absent.
    ///
    /// - Parameter defaults: the encoding where none is named.
    func through(defaults: CacheEncoding) throws(RecipeError) -> UptrainRecipe.Through? {
        guard let section = try object("through") else { return nil }
        let prefill = try section.int("prefill")
        let cache = try section.cache(defaults: defaults)
        guard ["evict", CacheSpec.recipeEncodingKey, CacheSetting.dtype.key].contains(where: section.has) else {
            throw section.impossible("names neither 'evict' nor 'kvDtype'")
        }
        guard cache.evicts || cache.encoding != .float32 else {
            throw section.impossible("'\(cache)' keeps every token as it is; leave it out")
        }
        guard cache.evicts || prefill == nil else {
            throw section.impossible(at: "prefill", "means nothing without 'evict'; leave it out")
        }
        guard cache.eviction.merge == nil else {
            throw section.impossible(
                at: "merge", "changes kept values when slots are evicted, which training through a cache does not; leave it out")
        }
        return UptrainRecipe.Through(cache: cache, prefill: prefill)
    }
}
