/// A pool's books as counts alone, to plan with.
public struct PageLedger: Sendable, Hashable {
    /// Pages nobody needs to keep.
    public var free: Int
    /// Pages each model is sure of.
    public var guarantees: [Int]
    /// Pages each model holds.
    public var used: [Int]

    /// The books of a pool; `evictable` pages of each model count as free.
    public init(_ pool: PagePool, evictable: [Int]) {
        free = pool.freeCount + evictable.reduce(0, +)
        guarantees = (0..<pool.models).map { pool.guarantee(of: $0) }
        used = (0..<pool.models).map { pool.used(by: $0) - evictable[$0] }
    }

    /// Books written by hand.
    public init(free: Int, guarantees: [Int], used: [Int]) {
        self.free = free
        self.guarantees = guarantees
        self.used = used
    }

    /// Pages `model` can have now.
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
