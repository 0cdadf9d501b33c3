/// A sum for each slot of each KV head of a sequence in one layer, such as of its attention mass, with room for more slots.
///
/// Copies share their memory until ``extend(to:)``. A kernel adds to the sums themselves: they are extended before, each time.
public struct SlotSums: Sendable {
    /// KV heads.
    public let kvHeads: Int
    /// Slots of a head with a sum.
    public private(set) var slots: Int
    /// The sums [kvHeads, capacity].
    private var storage: Storage
    private(set) var capacity: Int

    /// Sums of no slot.
    public init(kvHeads: Int) { self.init([[Float]](repeating: [], count: kvHeads)) }

    /// The sums of each head, equally many.
    public init(_ heads: [[Float]]) {
        (kvHeads, slots) = (heads.count, heads.first?.count ?? 0)
        precondition(heads.allSatisfy { [slots] in $0.count == slots }, "SlotSums: heads of \(heads.map(\.count)) slots")
        (storage, capacity) = (Storage(copying: Array(heads.joined())), slots)
    }

    /// Gives the first `count` slots a sum, 0 where they had none, in memory that no copy shares.
    public mutating func extend(to count: Int) {
        precondition(count >= slots, "SlotSums: \(count) slots of \(slots)")
        if count > capacity || !isKnownUniquelyReferenced(&storage) {
            let room = count > capacity ? max(count, capacity + capacity / 2, 64) : capacity
            let larger = Storage(count: kvHeads * room)
            for head in 0..<kvHeads {
                unsafe (larger.pointer + head * room).update(from: storage.pointer + head * capacity, count: slots)
            }
            (storage, capacity) = (larger, room)
        }
        for head in 0..<kvHeads { unsafe (pointer(head: head) + slots).update(repeating: 0, count: count - slots) }
        slots = count
    }

    /// The sums of each head.
    public var heads: [[Float]] {
        (0..<kvHeads).map { storage.array($0 * capacity..<$0 * capacity + slots) }
    }

    func pointer(head: Int) -> UnsafeMutablePointer<Float> { unsafe storage.pointer + head * capacity }
}
