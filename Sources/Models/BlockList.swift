/// A model's blocks: all held, or each made when it is asked for, over weights that are widened for as long as it is used.
struct BlockList: Sendable {
    private enum Content: Sendable {
        case held([Block])
        case made(count: Int, @Sendable (Int) -> Block)
    }

    private let content: Content

    /// These blocks, held.
    init(_ blocks: [Block]) { content = .held(blocks) }

    /// `count` blocks, each made by `make` when it is asked for.
    init(count: Int, making make: @escaping @Sendable (Int) -> Block) { content = .made(count: count, make) }

    var indices: Range<Int> {
        switch content {
        case .held(let blocks): blocks.indices
        case .made(let count, _): 0..<count
        }
    }

    subscript(layer: Int) -> Block {
        switch content {
        case .held(let blocks): blocks[layer]
        case .made(_, let make): make(layer)
        }
    }
}
