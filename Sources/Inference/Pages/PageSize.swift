import Kernels
import Models

/// The default page size.
public enum PageSize {
    /// The most tokens in a page of the layer with the fewest bytes a token.
    static let tokens = 32

    /// Bytes of a page for the layers `geometries` of all models: the largest power of two from 1 KiB to 16 KiB at which a page
    /// of the leanest layer (fewest bytes a token) holds at most 32 tokens, or more where one token of some layer needs it.
    ///
    /// Small pages waste less, on average half a page of each layer of a sequence, and make the prefix cache finer, whose blocks
    /// are as long as the leanest layer's page. Decoding speed hardly depends on the page size (Benchmarks/README.md), but block
    /// tables of large pages are shorter.
    ///
    /// Scales make a token's bytes odd: 16 KiB would hold 15 of them rather than 16. Pages of a codec have as many bytes, in
    /// multiples of 64, as a power of two from 16 to 128 of the leanest layer's tokens take.
    public static func bytes(for geometries: [KVGeometry]) -> Int {
        let stored = geometries.filter { $0.source == nil && $0.bytesPerToken > 0 }
        var bytes = 16 << 10
        // A page has whole blocks of tokens that are encoded together.
        guard let leanest = stored.min(by: { $0.bytesPerToken < $1.bytesPerToken }),
            let widest = stored.map({ $0.bytesPerToken * $0.encoding.blockTokens }).max()
        else { return bytes }
        if !geometries.allSatisfy(\.encoding.isElementwise) {
            let (token, block) = (leanest.bytesPerToken, leanest.encoding.blockTokens)
            var slots = max(Self.tokens, block)
            while slots > max(16, block), slots * token > bytes { slots /= 2 }
            while slots < 128, slots * token < 1 << 10 { slots *= 2 }
            return (max(slots * token, widest) + 63) / 64 * 64
        }
        while bytes > 1 << 10, bytes / leanest.bytesPerToken > Self.tokens { bytes /= 2 }
        while bytes < widest { bytes *= 2 }
        return bytes
    }

    /// Pages of `pageBytes` that a decoding sequence of `tokens` holds in layers of `geometries`; nil where a token of some layer
    /// does not fit one.
    public static func pages(tokens: Int, of geometries: [KVGeometry], pageBytes: Int) -> Int? {
        var all = 0
        for layer in geometries.indices {
            guard let pages = pages(tokens: tokens, layer: layer, of: geometries, pageBytes: pageBytes) else { return nil }
            all += pages
        }
        return all
    }

    /// The same of one `layer`; 0 where it shares another's cache.
    public static func pages(tokens: Int, layer: Int, of geometries: [KVGeometry], pageBytes: Int) -> Int? {
        let geometry = geometries[layer]
        guard geometry.source == nil else { return 0 }
        guard let layout = PagedLayout(geometry, pageBytes: pageBytes),
            let blocks = OpenBlocks(geometry, pageBytes: pageBytes, isShared: geometries.contains { $0.source == layer })
        else { return nil }
        let window = geometry.window.map { WindowRetention(window: $0, sinks: geometry.sinks) }
        let retention: any Retention = window ?? FullRetention()
        let pages = retention.mostPages(tokens: blocks.sealed(tokens), chunk: 1, slotsPerPage: layout.tokensPerPage)
        return pages + (geometry.encoding.blockTokens > 1 ? blocks.mostPages(tokens: tokens, chunk: 1) : 0)
    }

    /// Bytes of a page for models of `configs` whose keys and values are stored in `encoding`: where heads share budgets under
    /// `retention`, of single heads.
    public static func bytes(
        for configs: [ModelConfig], _ encoding: CacheEncoding, under retention: any Retention = FullRetention()
    ) -> Int {
        bytes(for: configs.flatMap { $0.kvGeometry(encoding).flatMap { $0.streams(under: retention) } })
    }
}
