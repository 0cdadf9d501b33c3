import Glibc

/// jieba's dictionary as a prefix tree over Unicode scalars: words and their frequencies.
struct JiebaDictionary: Sendable {
    /// The child of a node at a scalar, by node · 2³² + scalar. Node 0 is the empty prefix.
    private var children: [UInt64: Int32] = [:]
    /// The logarithm of each node's frequency; nil for prefixes that are no word.
    private var logarithms: [Double?] = [nil]
    private var logTotal = 0.0

    /// Reads lines of a word, its frequency and optionally its part of speech, separated by single spaces.
    ///
    /// A word given twice has its last frequency; the total counts both.
    init(_ bytes: [UInt8], file: String) throws(ScoringError) {
        var total = 0
        var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        if lines.last?.isEmpty ?? false { lines.removeLast() }
        for (index, line) in lines.enumerated() {
            let trimmed = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
            let fields = trimmed.split(separator: UInt8(ascii: " "), maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count >= 2, let word = String(validating: fields[0], as: UTF8.self), !word.isEmpty,
                let frequency = Int(String(decoding: fields[1], as: UTF8.self)), frequency >= 0,
                case let (sum, overflow) = total.addingReportingOverflow(frequency), !overflow
            else {
                throw .file(file, line: index + 1, reason: "expected a word and its frequency from 0")
            }
            total = sum
            let node = add(word)
            logarithms[node] = frequency > 0 ? log(Double(frequency)) : nil
        }
        guard total > 0 else { throw .file(file, line: 1, reason: "expected at least one word with a frequency above 0") }
        logTotal = log(Double(total))
    }

    private mutating func add(_ word: String) -> Int {
        var node: Int32 = 0
        for scalar in word.unicodeScalars {
            let key = Self.key(node, scalar)
            if let next = children[key] {
                node = next
            } else {
                node = Int32(logarithms.count)
                children[key] = node
                logarithms.append(nil)
            }
        }
        return Int(node)
    }

    private static func key(_ node: Int32, _ scalar: Unicode.Scalar) -> UInt64 { UInt64(node) << 32 | UInt64(scalar.value) }

    /// Whether `scalars` are a word with a frequency above 0.
    func hasWord(_ scalars: [Unicode.Scalar]) -> Bool {
        var node: Int32 = 0
        for scalar in scalars {
            guard let next = children[Self.key(node, scalar)] else { return false }
            node = next
        }
        return logarithms[Int(node)] != nil
    }

    /// The cut of `run` into words of the greatest product of probabilities, of equal ones with the longer first word; a character
    /// outside the dictionary counts as a word of frequency 1.
    func path(_ run: [Unicode.Scalar]) -> [Range<Int>] {
        var best = [(value: Double, end: Int)](repeating: (0, 0), count: run.count + 1)
        for start in run.indices.reversed() {
            var choice: (value: Double, end: Int)?
            var (node, index): (Int32, Int) = (0, start)
            while index < run.count, let next = children[Self.key(node, run[index])] {
                (node, index) = (next, index + 1)
                guard let logarithm = logarithms[Int(node)] else { continue }
                let value = logarithm - logTotal + best[index].value
                if value >= choice?.value ?? -.infinity { choice = (value, index) }
            }
            best[start] = choice ?? (0 - logTotal + best[start + 1].value, start + 1)
        }
        var (ranges, start): ([Range<Int>], Int) = ([], 0)
        while start < run.count {
            ranges.append(start..<best[start].end)
            start = best[start].end
        }
        return ranges
    }
}
