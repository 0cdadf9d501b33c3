/// The counts of a pool's pages: free ones, and for each model those it holds and those it is guaranteed.
///
/// The pool keeps its own; the scheduler plans on a copy in which evictable pages count as free.
public struct PageLedger: Sendable, Hashable {
    /// Pages without a holder.
    public var free: Int
    /// Pages each model can always have.
    public var guarantees: [Int]
    /// Pages each model holds.
    public var used: [Int]

    /// The counts of a pool.
    public init(free: Int, guarantees: [Int], used: [Int]) {
        self.free = free
        self.guarantees = guarantees
        self.used = used
    }

    /// The same counts once `evictable` pages of each model are free.
    public func freeing(_ evictable: [Int]) -> PageLedger {
        var freed = self
        for (model, count) in evictable.enumerated() { freed.give(count, of: model) }
        return freed
    }

    /// Pages `model` can have now: the free ones, less what is kept for the others' guarantees.
    public func available(to model: Int) -> Int {
        var kept = 0
        for other in guarantees.indices where other != model { kept += max(0, guarantees[other] - used[other]) }
        return max(0, free - kept)
    }

    /// Books `count` pages for `model`, or says that there are not enough.
    public mutating func take(_ count: Int, for model: Int) -> Bool {
        guard count <= available(to: model) else { return false }
        free -= count
        used[model] += count
        return true
    }

    /// Books `count` pages of `model` as free again.
    public mutating func give(_ count: Int, of model: Int) {
        free += count
        used[model] -= count
    }
}
