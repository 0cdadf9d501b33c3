/// Numbers distinct byte strings 0, 1, 2 … in order of first insertion, by an open-addressing hash table over one arena of bytes.
struct WordTable: Sendable {
    /// The number of distinct words.
    var count: Int { hashes.count }

    private var slots = [Int32](repeating: -1, count: 1024)
    private var hashes: [UInt64] = []
    private var ends: [Int] = []
    private var arena: [UInt8] = []

    /// The range of `word`'s bytes in the arena.
    private func range(_ word: Int) -> Range<Int> {
        (word == 0 ? 0 : ends[word - 1])..<ends[word]
    }

    /// The bytes of word number `word`.
    func bytes(_ word: Int) -> ArraySlice<UInt8> {
        arena[range(word)]
    }

    /// The number of `text[range]`, or nil where it is not in the table.
    func find(_ text: Span<UInt8>, _ range: Range<Int>) -> Int? {
        let word = slots[slot(text, range, Self.hash(text, range))]
        return word < 0 ? nil : Int(word)
    }

    /// The number of `text[range]`, a new one where it is not in the table.
    mutating func insert(_ text: Span<UInt8>, _ range: Range<Int>) -> Int {
        let hash = Self.hash(text, range)
        let found = slot(text, range, hash)
        if slots[found] >= 0 { return Int(slots[found]) }
        let word = hashes.count
        slots[found] = Int32(word)
        hashes.append(hash)
        for index in range { arena.append(text[index]) }
        ends.append(arena.count)
        if hashes.count * 2 > slots.count { grow() }
        return word
    }

    private func slot(_ text: Span<UInt8>, _ range: Range<Int>, _ hash: UInt64) -> Int {
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] >= 0 {
            let word = Int(slots[slot])
            if hashes[word] == hash, isEqual(text, range, word) { return slot }
            slot = (slot + 1) & (slots.count - 1)
        }
        return slot
    }

    private func isEqual(_ text: Span<UInt8>, _ range: Range<Int>, _ word: Int) -> Bool {
        let stored = self.range(word)
        guard stored.count == range.count else { return false }
        for offset in 0..<range.count where text[range.lowerBound + offset] != arena[stored.lowerBound + offset] {
            return false
        }
        return true
    }

    private mutating func grow() {
        slots = Array(repeating: -1, count: slots.count * 4)
        for (word, hash) in hashes.enumerated() {
            var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
            slots[slot] = Int32(word)
        }
    }

    /// FNV-1a with a final mix of the bits: pieces are a few bytes long.
    private static func hash(_ text: Span<UInt8>, _ range: Range<Int>) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for index in range { hash = (hash ^ UInt64(text[index])) &* 0x100_0000_01b3 }
        return hash ^ hash >> 32
    }
}
