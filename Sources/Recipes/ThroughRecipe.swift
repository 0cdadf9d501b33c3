import Inference
import Models

extension UptrainRecipe {
    /// The compressed cache that a model is uptrained through.
    public struct Through: Sendable, Hashable, Encodable {
        /// The cache.
        public var cache: CacheSpec
        /// Tokens of a document's prompt, behind which policies decide; nil: half of a sequence.
        public var prefill: Int?

        /// Training through `cache`, whose policy decides behind `prefill` tokens.
        public init(_ cache: CacheSpec, prefill: Int? = nil) { (self.cache, self.prefill) = (cache, prefill) }

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
            throw .impossible(section.position, path: section.path, reason: "names neither 'evict' nor 'kvDtype'")
        }
        guard cache.evicts || cache.encoding != .float32 else {
            throw .impossible(section.position, path: section.path, reason: "'\(cache)' keeps every token as it is; leave it out")
        }
        guard cache.evicts || prefill == nil else {
            throw .impossible(
                section.position(of: "prefill"), path: section.keyPath("prefill"),
                reason: "means nothing without 'evict'; leave it out")
        }
        guard cache.eviction.merge == nil else {
            throw .impossible(
                section.position(of: "merge"), path: section.keyPath("merge"),
                reason: "changes kept values when slots are evicted, which training through a cache does not; leave it out")
        }
        return UptrainRecipe.Through(cache, prefill: prefill)
    }
}
