/// The prefix tree's blocks that a sequence uses, from its first token on, and the first of them that its windows reach.
public struct PrefixPath: Sendable, Hashable {
    /// Numbers of the blocks.
    public internal(set) var blocks: [Int]
    /// The first block in reach of a window: before it the sequence uses no pages of layers with windows.
    public internal(set) var windowStart: Int

    /// A path of `blocks`, all of them in reach of the windows.
    public init(_ blocks: [Int] = []) { (self.blocks, windowStart) = (blocks, 0) }

    /// The number of blocks.
    public var count: Int { blocks.count }
    /// Whether the path is empty.
    public var isEmpty: Bool { blocks.isEmpty }
}
