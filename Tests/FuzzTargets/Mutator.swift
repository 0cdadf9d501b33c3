import Random

/// Makes damaged files out of sound ones, the same ones for the same seed.
public struct Mutator {
    private let corpus: [[UInt8]]
    private var generator: SeededGenerator

    private static let byteLimit = 1 << 18
    /// Where lengths, offsets and counts overflow, wrap or stop short.
    private static let numbers: [UInt64] = [
        0, 1, 2, 7, 31, 32, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x10000, 0xff_ffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
        0x1_0000_0000, 0x3fff_ffff_ffff_ffff, 0x7fff_ffff_ffff_fff8, 0x7fff_ffff_ffff_ffff, 0x8000_0000_0000_0000, .max - 7, .max,
    ]
    private static let words = [
        "0", "-1", "1e999", "-0.0", "0.5", "18446744073709551615", "9223372036854775807", "9223372036854775808", "4294967296",
        "2147483648", "65536", "1048576", "1e-320", "null", "true", "\"\"", "\"../../x\"", "\"/etc/passwd\"", "[]", "{}",
        "\"\\ud800\"",
        "\"\\u0000\"", "\"dynamic\"", "\"F64\"", "NaN",
    ].map { Array($0.utf8) }
    private static let runs = ["[", "{\"a\":", "\"", " ", "0", "\\", "\u{e9}", "(", "\0", "[[{\"a\":"].map { Array($0.utf8) }

    /// `corpus` has the sound files, at least one, none empty.
    public init(corpus: [[UInt8]], generator: SeededGenerator) {
        precondition(!corpus.isEmpty && !corpus.contains([]), "Mutator: nothing to change")
        self.corpus = corpus
        self.generator = generator
    }

    /// One of the files with one to eight changes, fewer more often.
    public mutating func next() -> [UInt8] {
        var bytes = corpus[below(corpus.count)]
        for _ in 0...below(below(8) + 1) {
            change(&bytes)
            if bytes.isEmpty { break }
        }
        return bytes.count > Self.byteLimit ? Array(bytes[..<Self.byteLimit]) : bytes
    }

    private mutating func below(_ limit: Int) -> Int { limit <= 1 ? 0 : Int.random(in: 0..<limit, using: &generator) }

    /// A place in a file of `count` bytes, as often as not in its header.
    private mutating func place(_ count: Int) -> Int { below(below(2) == 0 ? min(count, 512) : count) }

    private mutating func change(_ bytes: inout [UInt8]) {
        let start = place(bytes.count)
        // Mostly short.
        let end = min(start + 1 + below(below(4) == 0 ? bytes.count : 16), bytes.count)
        switch below(12) {
        case 0: bytes[start] ^= 1 << UInt8(below(8))
        case 1: bytes[start] = UInt8(below(256))
        case 2: write(Self.numbers[below(Self.numbers.count)], 4, at: start, &bytes)
        case 3: write(Self.numbers[below(Self.numbers.count)], 8, at: start, &bytes)
        case 4: write(UInt64(max(bytes.count + below(64) - 32, 0)), 8, at: start, &bytes)
        case 5: bytes.removeSubrange(start..<end)
        case 6: bytes.insert(contentsOf: bytes[start..<end], at: end)
        case 7:
            let piece = bytes[start..<end]
            let target = place(bytes.count - piece.count + 1)
            bytes.replaceSubrange(target..<target + piece.count, with: piece)
        case 8: bytes.removeSubrange(start...)
        case 9:
            let other = corpus[below(corpus.count)]
            let from = below(other.count)
            bytes.replaceSubrange(start..<end, with: other[from..<min(from + end - start, other.count)])
        case 10: replaceNumber(from: start, &bytes)
        default:
            let run = Self.runs[below(Self.runs.count)]
            let count = below(below(3) == 0 ? 20_000 : 20)
            bytes.insert(contentsOf: (0..<count).flatMap { _ in run }, at: start)
        }
    }

    private func write(_ value: UInt64, _ count: Int, at start: Int, _ bytes: inout [UInt8]) {
        for index in 0..<min(count, bytes.count - start) {
            bytes[start + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
        }
    }

    /// Puts another word in the place of the next run of digits.
    private mutating func replaceNumber(from start: Int, _ bytes: inout [UInt8]) {
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        guard let first = bytes[start...].firstIndex(where: { digits.contains($0) }) else { return }
        let end = bytes[first...].firstIndex { !digits.contains($0) } ?? bytes.count
        bytes.replaceSubrange(first..<end, with: Self.words[below(Self.words.count)])
    }
}
