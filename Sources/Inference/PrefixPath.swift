/// The blocks that a sequence uses, from its first token on, and the first of them that its windows reach.
public struct PrefixPath: Sendable, Hashable {
    /// Their numbers.
    public internal(set) var blocks: [Int]
    /// Of what is before it, pages of layers with windows are not used.
    public internal(set) var windowStart: Int

    /// No blocks, or those given, all of them within reach.
    public init(_ blocks: [Int] = []) { (self.blocks, windowStart) = (blocks, 0) }

    /// How many there are.
    public var count: Int { blocks.count }
    /// Whether there are none.
    public var isEmpty: Bool { blocks.isEmpty }
}
