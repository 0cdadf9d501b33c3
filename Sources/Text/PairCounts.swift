import HeapModule

/// The number of occurrences of each pair of adjacent tokens in a text's words, updated as pairs merge.
///
/// Counts are in a lazily corrected heap: a count only falls after its pair has entered the heap, so the top is right once its
/// own count is.
struct PairCounts {
    /// A pair and its count; the more frequent pair orders first, then the one with lower ids.
    struct Pair: Comparable, Sendable {
        var left: Int32
        var right: Int32
        var count: Int

        static func < (a: Pair, b: Pair) -> Bool {
            a.count != b.count ? a.count > b.count : (a.left, a.right) < (b.left, b.right)
        }
    }

    private var words: [[Int32]]
    private let wordCounts: [Int]
    /// Pair → its index in the two arrays below.
    private var indices = PairTable()
    private var counts: [Int] = []
    /// Words in which the pair occurs or once occurred.
    private var places: [[Int32]] = []
    private var heap = Heap<Pair>()

    init(words: [[Int32]], counts wordCounts: [Int]) {
        self.words = words
        self.wordCounts = wordCounts
        for (word, symbols) in words.enumerated() where symbols.count > 1 {
            for index in 1..<symbols.count {
                change(symbols[index - 1], symbols[index], by: wordCounts[word], in: Int32(word))
            }
        }
        heap = Heap(pairs(of: self.words))
    }

    private func pairs(of words: [[Int32]]) -> [Pair] {
        var seen = [Bool](repeating: false, count: counts.count)
        var result: [Pair] = []
        for symbols in words where symbols.count > 1 {
            for index in 1..<symbols.count {
                let (left, right) = (symbols[index - 1], symbols[index])
                guard let found = indices.value(PairTable.key(left, right)), !seen[Int(found)] else { continue }
                seen[Int(found)] = true
                result.append(Pair(left: left, right: right, count: counts[Int(found)]))
            }
        }
        return result
    }

    /// Removes and returns the pair to merge next; nil where no pair is left.
    mutating func mostFrequent() -> Pair? {
        while var top = heap.popMin() {
            let count = count(top.left, top.right)
            if top.count == count { return count > 0 ? top : nil }
            top.count = count
            if count > 0 { heap.insert(top) }
        }
        return nil
    }

    /// Replaces `pair` by `id` in all words.
    mutating func merge(_ pair: Pair, into id: Int32) {
        let index = Int(indices.value(PairTable.key(pair.left, pair.right))!)
        let places = places[index]
        self.places[index] = []
        var grown: Set<UInt64> = []
        for word in places { merge(pair, into: id, in: word, &grown) }
        counts[index] = 0
        for key in grown {
            let (left, right) = (Int32(truncatingIfNeeded: key >> 32), Int32(truncatingIfNeeded: key))
            let count = count(left, right)
            if count > 0 { heap.insert(Pair(left: left, right: right, count: count)) }
        }
    }

    private mutating func merge(_ pair: Pair, into id: Int32, in word: Int32, _ grown: inout Set<UInt64>) {
        let symbols = words[Int(word)]
        let count = wordCounts[Int(word)]
        var merged: [Int32] = []
        merged.reserveCapacity(symbols.count)
        var index = 0
        while index < symbols.count {
            guard index + 1 < symbols.count, symbols[index] == pair.left, symbols[index + 1] == pair.right else {
                merged.append(symbols[index])
                index += 1
                continue
            }
            // x l r y → x id y: removes the pairs x l and r y, adds x id and id y.
            if let before = merged.last {
                change(before, pair.left, by: -count, in: word)
                change(before, id, by: count, in: word)
                grown.insert(PairTable.key(before, id))
            }
            if index + 2 < symbols.count {
                let after = symbols[index + 2]
                change(pair.right, after, by: -count, in: word)
                change(id, after, by: count, in: word)
                grown.insert(PairTable.key(id, after))
            }
            merged.append(id)
            index += 2
        }
        words[Int(word)] = merged
    }

    private func count(_ left: Int32, _ right: Int32) -> Int {
        indices.value(PairTable.key(left, right)).map { counts[Int($0)] } ?? 0
    }

    private mutating func change(_ left: Int32, _ right: Int32, by difference: Int, in word: Int32) {
        let key = PairTable.key(left, right)
        let index: Int
        if let found = indices.value(key) {
            index = Int(found)
        } else {
            index = counts.count
            indices.set(key, UInt64(index))
            counts.append(0)
            places.append([])
        }
        counts[index] += difference
        if difference > 0, places[index].last != word { places[index].append(word) }
    }
}
