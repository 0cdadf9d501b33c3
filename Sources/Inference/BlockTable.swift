/// A sequence's pages, for each layer in the order of its tokens.
///
///     a layer of 4 tokens a page, 10 tokens held:   pages [7, 2, 9]
///     token 0 1 2 3 | 4 5 6 7 | 8 9 . .
///     page     7         2         9
///
/// Pages may be shared with other sequences; one is copied before a token is written into it.
public struct BlockTable: Sendable, Hashable {
    /// Tokens held.
    public var tokens = 0
    /// Pages of each layer.
    public var pages: [[Int32]]

    /// An empty table for `layers`.
    public init(layers: Int) { pages = [[Int32]](repeating: [], count: layers) }

    /// Every page, layer after layer.
    public var allPages: [Int32] { pages.flatMap { $0 } }
}
