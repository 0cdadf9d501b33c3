import Kernels
import Models

/// The size of pages where none is asked for.
public enum PageSize {
    /// Tokens that the leanest layer's page holds at most.
    static let tokens = 32

    /// Bytes of a page for caches of `geometries`, all layers of all models: the largest power of two from 1 KiB to 16 KiB at
    /// which the leanest layer's page holds at most 32 tokens, and more only where one token of some layer needs it.
    ///
    /// A sequence wastes half a page of each layer on average, and prefixes are shared by as many tokens as the leanest layer's
    /// page holds: both ask for small pages. Decoding hardly depends on their size (Benchmarks/README.md), but tables of
    /// few pages are shorter.
    public static func bytes(for geometries: [KVGeometry]) -> Int {
        let tokens = geometries.filter { $0.source == nil }.map(\.bytesPerToken).filter { $0 > 0 }
        var bytes = 16 << 10
        guard let leanest = tokens.min(), let widest = tokens.max() else { return bytes }
        while bytes > 1 << 10, bytes / leanest > Self.tokens { bytes /= 2 }
        while bytes < widest { bytes *= 2 }
        return bytes
    }

    /// Bytes of a page for models of `configs`, keys and values stored by `encoding`.
    public static func bytes(for configs: [ModelConfig], _ encoding: KVEncoding) -> Int {
        bytes(for: configs.flatMap { $0.kvGeometry(encoding) })
    }
}
