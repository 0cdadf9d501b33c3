/// The similarity ratio of Python's `difflib.SequenceMatcher` (Ratcliff & Metzener 1988, "gestalt pattern matching").
struct SequenceMatcher {
    private let left: [Unicode.Scalar]
    private let right: [Unicode.Scalar]
    /// The positions of each scalar of `right`, without popular ones.
    private let places: [Unicode.Scalar: [Int]]

    init(_ left: [Unicode.Scalar], _ right: [Unicode.Scalar]) {
        (self.left, self.right) = (left, right)
        var places = Dictionary(grouping: right.indices) { right[$0] }
        // autojunk: in 200 elements or more, an element that is over 1 % of them starts no match.
        if right.count >= 200 { places = places.filter { $0.value.count <= right.count / 100 + 1 } }
        self.places = places
    }

    /// 2·M/(n + m) with M the elements in matching blocks; 1 for two empty sequences.
    var ratio: Double {
        let total = left.count + right.count
        guard total > 0 else { return 1 }
        var matches = 0
        var pending = [(left.indices, right.indices)]
        while let (first, second) = pending.popLast() {
            let block = longestMatch(first, second)
            guard block.size > 0 else { continue }
            matches += block.size
            pending.append((first.lowerBound..<block.left, second.lowerBound..<block.right))
            pending.append((block.left + block.size..<first.upperBound, block.right + block.size..<second.upperBound))
        }
        return 2 * Double(matches) / Double(total)
    }

    /// The longest block of equal elements, of equals the one that starts first in `left`, then in `right`.
    private func longestMatch(_ first: Range<Int>, _ second: Range<Int>) -> (left: Int, right: Int, size: Int) {
        var best = (left: first.lowerBound, right: second.lowerBound, size: 0)
        // Lengths of the matches that end at the previous element of `left`, by their end in `right`.
        var lengths: [Int: Int] = [:]
        for index in first {
            var next: [Int: Int] = [:]
            for place in places[left[index]] ?? [] {
                if place < second.lowerBound { continue }
                if place >= second.upperBound { break }
                let length = (lengths[place - 1] ?? 0) + 1
                next[place] = length
                if length > best.size { best = (index - length + 1, place - length + 1, length) }
            }
            lengths = next
        }
        // Popular elements extend a match though they start none.
        while best.left > first.lowerBound, best.right > second.lowerBound, left[best.left - 1] == right[best.right - 1] {
            best = (best.left - 1, best.right - 1, best.size + 1)
        }
        while best.left + best.size < first.upperBound, best.right + best.size < second.upperBound,
            left[best.left + best.size] == right[best.right + best.size]
        {
            best.size += 1
        }
        return best
    }
}
