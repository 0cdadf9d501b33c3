/// The block table of a sequence: its pages, for each layer in the order of its slots.
///
///     a layer of 4 slots a page, 10 held:   pages [7, 2, 9]
///     slot  0 1 2 3 | 4 5 6 7 | 8 9 . .
///     page     7         2         9
///
/// Slot i holds token i until slots are evicted and the kept ones packed; from then on the table lists their positions. Pages may
/// be shared with other sequences; a shared page is copied before a token is written into it (copy-on-write). Where a layer has a
/// window, the pages behind it are freed and ``freed`` stands in their place. Layers that share another layer's cache have no
/// pages. Where an encoding takes blocks of tokens, `pages` holds the sealed ones, encoded, and `open` the others.
public struct BlockTable: Sendable, Hashable {
    /// Tokens computed.
    public var tokens = 0
    /// Stands in for a page behind the window.
    public static let freed: Int32 = -1
    /// Pages of each layer with a cache of its own.
    public var pages: [[Int32]]
    /// The pages of the open block of each such layer: of the tokens that wait, unrounded, for their block to be full.
    public internal(set) var open: [[Int32]]
    /// Positions of the slots, ascending, for each such layer and KV head; empty where slot i holds token i.
    public internal(set) var positions: [[[Int32]]]
    /// Empty pages of each such layer, reserved for its next compaction.
    var reserved: [[Int32]]

    /// An empty table for `layers`.
    public init(layers: Int) {
        pages = [[Int32]](repeating: [], count: layers)
        positions = [[[Int32]]](repeating: [], count: layers)
        (open, reserved) = (pages, pages)
    }

    /// Slots of a layer, freed ones behind a window included.
    public func slots(_ layer: Int) -> Int { positions[layer].first?.count ?? tokens }

    /// Whether some layer's slots were compacted.
    var isCompacted: Bool { positions.contains { !$0.isEmpty } }

    /// Every allocated page, layer after layer: the tokens', the open blocks', the reserved ones.
    public var allPages: [Int32] { pages.flatMap { $0.filter { $0 != Self.freed } } + open.joined() + reserved.joined() }

    /// Appends `count` tokens in new slots.
    mutating func append(_ count: Int) {
        let new = (tokens..<tokens + count).map { Int32($0) }
        for layer in positions.indices { for head in positions[layer].indices { positions[layer][head] += new } }
        tokens += count
    }
}
