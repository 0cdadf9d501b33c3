import Random

/// A random permutation of 0 ..< count, computed for one index at a time without memory.
///
/// A Feistel network permutes the next power of four; an index that leaves the range is permuted again (cycle walking, Black and
/// Rogaway, "Ciphers with Arbitrary Finite Domains", 2002).
struct Permutation: Sendable {
    private let count: UInt64
    private let halfBits: UInt64
    private let keys: [UInt64]

    private static let rounds = 6

    init(count: Int, key: UInt64) {
        self.count = UInt64(count)
        var bits: UInt64 = 1
        while UInt64(1) << (2 * bits) < self.count { bits += 1 }
        halfBits = bits
        var generator = SeededGenerator(seed: key)
        keys = (0..<Self.rounds).map { _ in generator.next() }
    }

    /// The image of `index`, in 0 ..< count.
    subscript(index: Int) -> Int {
        var value = UInt64(index)
        repeat { value = encrypt(value) } while value >= count
        return Int(value)
    }

    private func encrypt(_ value: UInt64) -> UInt64 {
        let mask = UInt64(1) << halfBits - 1
        var (left, right) = (value >> halfBits, value & mask)
        for key in keys {
            var mixer = SeededGenerator(seed: key ^ right)
            (left, right) = (right, left ^ mixer.next() & mask)
        }
        return left << halfBits | right
    }
}
