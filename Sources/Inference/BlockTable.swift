/// A sequence's pages, for each layer in the order of its tokens.
///
///     a layer of 4 tokens a page, 10 tokens held:   pages [7, 2, 9]
///     token 0 1 2 3 | 4 5 6 7 | 8 9 . .
///     page     7         2         9
///
/// Pages may be shared with other sequences; one is copied before a token is written into it. Where a layer has a window, the
/// pages behind it have been freed: ``freed`` stands in their place. Layers that read another's cache have no pages.
public struct BlockTable: Sendable, Hashable {
    /// Tokens held.
    public var tokens = 0
    /// Stands for a page behind the window.
    public static let freed: Int32 = -1
    /// Pages of each layer that has its own.
    public var pages: [[Int32]]

    /// An empty table for `layers`.
    public init(layers: Int) { pages = [[Int32]](repeating: [], count: layers) }

    /// Every page there is, layer after layer.
    public var allPages: [Int32] { pages.flatMap { $0.filter { $0 != Self.freed } } }
}
