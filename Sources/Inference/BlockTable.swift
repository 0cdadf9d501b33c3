/// A sequence's pages, for each layer in the order of its slots.
///
///     a layer of 4 slots a page, 10 held:   pages [7, 2, 9]
///     slot  0 1 2 3 | 4 5 6 7 | 8 9 . .
///     page     7         2         9
///
/// Slot i holds token i until slots are dropped and the others packed; from then on their positions are listed. Pages may be shared
/// with other sequences; one is copied before a token is written into it. Where a layer has a window, the pages behind it have been
/// freed: ``freed`` stands in their place. Layers that read another's cache have no pages.
public struct BlockTable: Sendable, Hashable {
    /// Tokens computed.
    public var tokens = 0
    /// Stands for a page behind the window.
    public static let freed: Int32 = -1
    /// Pages of each layer that has its own.
    public var pages: [[Int32]]
    /// For each such layer and KV head the positions of its slots, ascending; none where slot i holds token i.
    public internal(set) var positions: [[[Int32]]]
    /// For each such layer pages without slots, kept for the next packing.
    var reserved: [[Int32]]

    /// An empty table for `layers`.
    public init(layers: Int) {
        pages = [[Int32]](repeating: [], count: layers)
        positions = [[[Int32]]](repeating: [], count: layers)
        reserved = pages
    }

    /// Slots of a layer, those behind a window among them.
    public func slots(_ layer: Int) -> Int { positions[layer].first?.count ?? tokens }

    /// Whether slots were packed in some layer.
    var isCompacted: Bool { positions.contains { !$0.isEmpty } }

    /// Every page there is, layer after layer.
    public var allPages: [Int32] { pages.flatMap { $0.filter { $0 != Self.freed } } + reserved.joined() }

    /// Counts `count` more tokens, in slots behind the others.
    mutating func append(_ count: Int) {
        let new = (tokens..<tokens + count).map { Int32($0) }
        for layer in positions.indices { for head in positions[layer].indices { positions[layer][head] += new } }
        tokens += count
    }
}
