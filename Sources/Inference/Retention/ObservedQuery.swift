/// A query of one head, whose attention weights a retention sees one by one.
public struct ObservedQuery: Sendable {
    /// The position of its token, and the tokens of the sequence's prompt.
    public let position: Int, prompt: Int
    /// The layer and the query head.
    public let layer: Int, head: Int
    /// Positions of the slots held before the query's step; empty where slot i holds token i.
    private let positions: [Int32]
    /// The position of the first slot behind these.
    private let next: Int

    /// The query at `position`, in a step behind `held` tokens, over slots at `positions` and the step's own.
    init(position: Int, prompt: Int, layer: Int, head: Int, positions: [Int32], held: Int) {
        (self.position, self.prompt, self.layer, self.head, self.positions) = (position, prompt, layer, head, positions)
        next = positions.isEmpty ? 0 : held
    }

    /// The position of the token in a slot of the query's KV head.
    public func position(ofSlot slot: Int) -> Int {
        slot < positions.count ? Int(positions[slot]) : next + slot - positions.count
    }
}
