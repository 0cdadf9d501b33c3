/// The page counts of a pool: free pages, and for each model its used and its guaranteed pages.
///
/// The pool keeps one; the scheduler plans on a copy in which evictable pages count as free.
public struct PageLedger: Sendable, Hashable {
    /// Pages without a holder.
    public var free: Int
    /// The guarantee of each model: pages it can always have.
    public var guarantees: [Int]
    /// Pages each model holds.
    public var used: [Int]

    /// The counts after evicting `evictable` pages of each model.
    public func freeing(_ evictable: [Int]) -> PageLedger {
        var freed = self
        for (model, count) in evictable.enumerated() { freed.give(count, of: model) }
        return freed
    }

    /// Pages `model` can have now: the free pages, less those kept for the other models' guarantees.
    public func available(to model: Int) -> Int {
        var kept = 0
        for other in guarantees.indices where other != model { kept += max(0, guarantees[other] - used[other]) }
        return max(0, free - kept)
    }

    /// Books `count` pages for `model`; false where it cannot have that many.
    public mutating func take(_ count: Int, for model: Int) -> Bool {
        guard count <= available(to: model) else { return false }
        free -= count
        used[model] += count
        return true
    }

    /// Returns `count` pages of `model` to the free ones.
    public mutating func give(_ count: Int, of model: Int) {
        free += count
        used[model] -= count
    }
}
