/// A hash table from pairs of token ids to a number, with linear probing: Swift's `Dictionary` is three times slower.
struct PairTable: Sendable {
    private(set) var count = 0
    private var keys: [UInt64]
    private var values: [UInt64]
    private var shift: UInt64

    private static let free = UInt64.max

    /// An empty table with room for `capacity` pairs before it grows.
    init(capacity: Int = 16) {
        var bits: UInt64 = 5
        while 1 << bits < capacity * 2 { bits += 1 }
        keys = Array(repeating: Self.free, count: 1 << Int(bits))
        values = Array(repeating: 0, count: 1 << Int(bits))
        shift = 64 - bits
    }

    static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    /// The number stored for `key`, or nil.
    @inline(__always)
    func value(_ key: UInt64) -> UInt64? {
        let slot = slot(key)
        return keys[slot] == key ? values[slot] : nil
    }

    /// Stores `value` for `key`, replacing the previous value.
    mutating func set(_ key: UInt64, _ value: UInt64) {
        if count * 2 >= keys.count { grow() }
        let slot = slot(key)
        if keys[slot] != key {
            keys[slot] = key
            count += 1
        }
        values[slot] = value
    }

    @inline(__always)
    private func slot(_ key: UInt64) -> Int {
        // Fibonacci hashing of a mixed key: the two ids must both reach the high bits.
        var slot = Int(truncatingIfNeeded: ((key ^ (key >> 29)) &* 0x9e37_79b9_7f4a_7c15) >> shift)
        while keys[slot] != key && keys[slot] != Self.free { slot = (slot + 1) & (keys.count - 1) }
        return slot
    }

    private mutating func grow() {
        var larger = PairTable(capacity: keys.count)
        for (key, value) in zip(keys, values) where key != Self.free { larger.set(key, value) }
        self = larger
    }
}
