import Random

/// RULER's eight tasks of needles (`niah.py`): sentences that give values to keys, in a haystack that ends with a question for values.
///
/// A haystack is repeated noise or more needles, one a line, or a text's words; needles in a text stand at depths from one grid of 40, none of
/// which is taken twice in a prompt.
///
/// Departures from `niah.py`: the keys of a prompt's haystack are never among its own keys, a text's sentences end where ``NeedleGrid`` ends
/// them and not at NLTK's marks, a text is not repeated, and the order of needles is drawn for each prompt.
struct RULERNeedles: RULERRule {
    /// The text around the needles.
    enum Haystack: Sendable {
        /// Repeated sentences.
        case noise
        /// A text.
        case text(RULERText)
        /// Needles of keys that the question does not name.
        case needles
    }

    /// Keys or values, by the name that prompts give to them.
    enum Token: String, Sendable {
        case words, numbers, uuids

        func draw(_ generator: inout SeededGenerator) -> String {
            switch self {
            case .words:
                return
                    "\(EnglishWords.pick(EnglishWords.adjectives, &generator))-\(EnglishWords.pick(EnglishWords.nouns, &generator))"
            case .numbers: return "\(Int.random(in: 1_000_000...9_999_999, using: &generator))"
            case .uuids: return generator.uuid()
            }
        }
    }

    /// A task's numbers: `scripts/synthetic.yaml`.
    struct Variant: Sendable {
        var needsText = false
        var hidesAmongNeedles = false
        var keys = Token.words
        var values = Token.numbers
        /// Keys, values of each key, and keys asked for.
        var keyCount = 1
        var valueCount = 1
        var queryCount = 1
    }

    /// The tasks by name.
    static let variants: [String: Variant] = [
        "niah_single_1": Variant(),
        "niah_single_2": Variant(needsText: true),
        "niah_single_3": Variant(needsText: true, values: .uuids),
        "niah_multikey_1": Variant(needsText: true, keyCount: 4),
        "niah_multikey_2": Variant(hidesAmongNeedles: true),
        "niah_multikey_3": Variant(hidesAmongNeedles: true, keys: .uuids, values: .uuids),
        "niah_multivalue": Variant(needsText: true, valueCount: 4),
        "niah_multiquery": Variant(needsText: true, keyCount: 4, queryCount: 4),
    ]

    /// Depths in percent: 40, evenly from the beginning to the end.
    static let depths = (0..<40).map { Int((Double($0) * 100 / 39).rounded()) }

    let variant: Variant
    let haystack: Haystack
    let texts: RULERPrompts

    /// Lines that needles stand before are different ones; a text needs a word.
    func least(_ number: Int) -> Int {
        if case .text = haystack { 1 } else { variant.keyCount * variant.valueCount }
    }

    var most: Int { if case .text(let text) = haystack { text.words.count } else { .max } }

    func prompt(_ number: Int, size: Int, _ generator: inout SeededGenerator) -> RULERPrompt {
        var (keys, values) = ([String](), [[String]]())
        while keys.count < variant.keyCount {
            let key = variant.keys.draw(&generator)
            if keys.contains(key) { continue }
            keys.append(key)
            values.append((0..<variant.valueCount).map { _ in variant.values.draw(&generator) })
        }
        let needles = zip(keys, values).flatMap { key, values in values.map { Self.needle(variant.values, key, $0) } }
            .shuffled(using: &generator)
        let asked = generator.sample(keys.indices, variant.queryCount)
        let context: String
        switch haystack {
        case .text(let text):
            context = text.context(words: size, needles, depths: generator.sample(Self.depths, needles.count).sorted())
        case .noise:
            let lines = Array(repeating: PasskeyGrid.garbage, count: size)
            context = Self.context(lines, needles, before: generator.sample(lines.indices, needles.count))
        case .needles:
            let lines = (0..<size).map { _ in
                var key: String
                repeat { key = variant.keys.draw(&generator) } while keys.contains(key)
                return Self.needle(variant.values, key, variant.values.draw(&generator))
            }
            context = Self.context(lines, needles, before: generator.sample(lines.indices, needles.count))
        }
        return RULERPrompt(
            text: text(context, queries: asked.map { keys[$0] }), outputs: asked.flatMap { values[$0] })
    }

    /// The whole prompt that asks for the values of `queries`; in the singular where one value is asked for.
    func text(_ context: String, queries: [String]) -> String {
        let isSingular = variant.queryCount * variant.valueCount == 1
        let name = isSingular ? String(variant.values.rawValue.dropLast()) : variant.values.rawValue
        let query =
            queries.count == 1 ? queries[0] : queries.dropLast().joined(separator: ", ") + ", and " + queries[queries.count - 1]
        return texts.prompt(
            .needles, isSingular: isSingular, ["type_needle_v": name, "context": context, "query": query])
    }

    /// A needle's sentence.
    static func needle(_ values: Token, _ key: String, _ value: String) -> String {
        "One of the special magic \(values.rawValue) for \(key) is: \(value)."
    }

    /// The lines with each needle before the line of its index; the indices are different ones, the first needle's the last.
    static func context(_ lines: [String], _ needles: [String], before indices: [Int]) -> String {
        var lines = lines
        for (index, needle) in zip(indices.sorted(by: >), needles) { lines.insert(needle, at: index) }
        return lines.joined(separator: "\n")
    }
}

/// The words of a text, with the ends of its sentences.
struct RULERText: Sendable {
    let words: [String]
    /// The numbers of words up to each sentence's end.
    private let ends: [Int]

    init(_ text: String) {
        let words = PythonText(text).words.map(\.string)
        self.words = words
        ends = words.indices.filter { index in
            let word = Array(words[index].unicodeScalars)
            return NeedleGrid.sentenceEnds(word).last == word.count
        }.map { $0 + 1 }
    }

    /// The first `count` words with needles between sentences at `depths` in percent of the sentences, ascending.
    ///
    /// Two needles at one place have two spaces between them, as in `niah.py`.
    func context(words count: Int, _ needles: [String], depths: [Int]) -> String {
        var sentences = [0] + ends.prefix { $0 <= count }
        // A last sentence may be cut.
        if sentences[sentences.count - 1] < count { sentences.append(count) }
        var (parts, last) = ([String](), 0)
        for (needle, depth) in zip(needles, depths) {
            let place = sentences[Int(Double(sentences.count - 1) * (Double(depth) / 100))]
            parts += [words[last..<place].joined(separator: " "), needle]
            last = place
        }
        parts.append(words[last..<count].joined(separator: " "))
        return parts.joined(separator: " ")
    }
}

extension SeededGenerator {
    /// A random UUID of version 4 (RFC 9562), in lower case.
    fileprivate mutating func uuid() -> String {
        let (high, low) = (next() & 0xFFFF_FFFF_FFFF_0FFF | 0x4000, next() & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000)
        let digits = Array(
            [high, low].map { part in
                let text = String(part, radix: 16)
                return String(repeating: "0", count: 16 - text.count) + text
            }.joined())
        return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(digits[$0]) }.joined(separator: "-")
    }
}
