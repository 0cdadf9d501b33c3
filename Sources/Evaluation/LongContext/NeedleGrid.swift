import Random

/// The prompts of the needle in a haystack (Kamradt 2023) over a grid of lengths and depths: a sentence between the sentences of a long
/// text, asked for at the end.
///
/// The needle stands behind the sentence that ends at or before its depth, at the very end for depth 1, at the beginning for depth 0.
///
/// Departures from the original: lengths are met in tokens by cutting the haystack at a sentence's end, and the score is not a model's opinion but
/// whether all words of the answer occur. The needle without a text of one's own is a magic number, drawn anew for each example: a famous
/// sentence may be known by heart.
public struct NeedleGrid: GenerationTask {
    /// A needle of the user's own.
    public struct Needle: Sendable, Equatable {
        /// The sentence that is hidden.
        public var text: String
        /// The question at the end, and the beginning of the answer if there is to be one.
        public var question: String
        /// The words that a right output has.
        public var answer: String

        /// A sentence to hide, its question and its answer.
        public init(text: String, question: String, answer: String) {
            (self.text, self.question, self.answer) = (text, question, answer)
        }

        /// The needle that tells a thing's magic number.
        init(thing: String, number: Int) {
            self.init(
                text: "The special magic number of the \(thing) is \(number).",
                question: "What is the special magic number of the \(thing)? The special magic number of the \(thing) is",
                answer: "\(number)")
        }
    }

    /// A fault of the haystack or of a length.
    public enum Fault: Error, CustomStringConvertible, Equatable {
        /// The haystack has fewer tokens than a length needs.
        case shortHaystack(length: Int, tokens: Int)
        /// A length is too short for the needle and the question.
        case shortLength(Int, least: Int)

        /// The sentence for the user.
        public var description: String {
            switch self {
            case .shortHaystack(let length, let tokens):
                "the haystack gives prompts of at most \(tokens) tokens, --lengths has \(length); name more with --haystack"
            case .shortLength(let length, let least):
                "a length of \(length) tokens is too short for the needle and its question, which have \(least) with this tokenizer"
            }
        }
    }

    /// The text around the needle.
    public var haystack: String
    /// Prompt lengths in tokens.
    public var lengths: [Int]
    /// Depths, evenly from 0 to 1; one alone is ½.
    public var depths: Int
    /// Examples at each length and depth.
    public var trials: Int
    /// Seeds the magic numbers, which do not depend on the model.
    public var seed: UInt64
    /// The most tokens to generate.
    public var maxTokens: Int
    /// The user's needle; nil for magic numbers.
    public var needle: Needle?
    /// Needles in a prompt: the one asked for at its depth, the others, of other things, anywhere.
    public var keys: Int
    /// The most needles in a prompt.
    public static let mostKeys = things.count
    /// The files of the haystack.
    public let files: [String]

    /// The grid over `haystack`; magic numbers unless a `needle` is given.
    public init(
        haystack: String, files: [String] = [], lengths: [Int], depths: Int, trials: Int, seed: UInt64, maxTokens: Int = 24,
        needle: Needle? = nil, keys: Int = 1
    ) {
        precondition((1...Self.mostKeys).contains(keys) && (keys == 1 || needle == nil), "NeedleGrid: \(keys) keys")
        self.keys = keys
        (self.haystack, self.lengths, self.depths, self.trials) = (haystack, lengths, depths, trials)
        self.files = files
        (self.seed, self.maxTokens, self.needle) = (seed, maxTokens, needle)
    }

    public var name: String { "needle" }

    public var count: Int { lengths.count * depths * trials }

    public var options: [String: String] {
        var options = [
            "lengths": lengths.map { "\($0)" }.joined(separator: ","), "depths": "\(depths)", "trials": "\(trials)",
            "seed": "\(seed)", "max-new": "\(maxTokens)",
        ]
        if keys > 1 { options["keys"] = "\(keys)" }
        if let needle {
            (options["needle"], options["question"], options["answer"]) = (needle.text, needle.question, needle.answer)
        }
        return options
    }

    static let things = [
        "lighthouse", "orchard", "telescope", "harbour", "violin", "greenhouse", "windmill", "library", "fountain", "chapel",
    ]

    /// The needles of an example, the one asked for first, each with its depth.
    private func needles(_ id: String, depth: Double) -> [(needle: Needle, depth: Double)] {
        if let needle { return [(needle, depth)] }
        var generator = SeededGenerator(seed: seed, name: id)
        func number() -> Int { Int.random(in: 1_000_000...9_999_999, using: &generator) }
        let asked = number()
        let index = Int.random(in: 0..<Self.things.count, using: &generator)
        var others = Self.things
        var needles = [(needle: Needle(thing: others.remove(at: index), number: asked), depth: depth)]
        guard keys > 1 else { return needles }
        for thing in others.shuffled(using: &generator).prefix(keys - 1) {
            needles.append((Needle(thing: thing, number: number()), generator.uniform()))
        }
        return needles
    }

    /// The examples for a tokenizer, the deepest needles first, so that each prompt finds the most of its beginning in a prefix cache.
    ///
    /// Throws ``Fault`` for a length that cannot be met, and ``ChatTemplateError``.
    public func examples(_ encoder: PromptEncoder) throws -> [GenerationExample] {
        let text = Array(haystack.unicodeScalars)
        let ends = Self.sentenceEnds(text)
        var examples: [(place: Int, example: GenerationExample)] = []
        for length in lengths {
            for index in 0..<depths {
                let depth = depths == 1 ? 0.5 : Double(index) / Double(depths - 1)
                for trial in 0..<trials {
                    let id = "needle/\(length)/\(PasskeyGrid.text(depth))/\(trial)"
                    let needles = needles(id, depth: depth)
                    let needle = needles[0].needle
                    func prompt(_ sentences: Int) -> (text: String, place: Int) {
                        let end = sentences == 0 ? 0 : ends[sentences - 1]
                        let places = needles.map { Self.place($0.depth, end: end, ends[..<sentences]) }
                        var (parts, last) = ([ArraySlice<Unicode.Scalar>](), 0)
                        for index in needles.indices.sorted(by: { (places[$0], $0) < (places[$1], $1) }) {
                            parts += [text[last..<places[index]], Array(needles[index].needle.text.unicodeScalars)[...]]
                            last = places[index]
                        }
                        parts.append(text[last..<end])
                        let context = parts.map { PythonText(scalars: $0).stripped.string }.filter { !$0.isEmpty }
                        return (context.joined(separator: " ") + "\n\n" + needle.question, places.min() ?? 0)
                    }
                    let least = try encoder.count(prompt(0).text)
                    guard least <= length else { throw Fault.shortLength(length, least: least) }
                    let sentences = try Self.most(ends.count) { try encoder.count(prompt($0).text) <= length }
                    if sentences == ends.count {
                        throw Fault.shortHaystack(length: length, tokens: try encoder.count(prompt(sentences).text))
                    }
                    let (filled, place) = prompt(sentences)
                    let encoded = try encoder.encoded(filled, questionBytes: needle.question.utf8.count, id: id)
                    examples.append(
                        (
                            place,
                            GenerationExample(
                                id: id, group: ExampleGroup(length: length, depth: depth), prompt: encoded.text,
                                tokens: encoded.tokens, contextTokens: encoded.contextTokens, maxTokens: maxTokens,
                                references: [needle.answer, needle.text], stops: encoded.stops, task: .needle)
                        ))
                }
            }
        }
        // Stable, so that trials stay in their order.
        return examples.enumerated().sorted { ($1.element.place, $0.offset) < ($0.element.place, $1.offset) }.map(
            \.element.example)
    }

    /// The end of the last sentence that ends at or before `depth` of the first `end` scalars.
    static func place(_ depth: Double, end: Int, _ ends: ArraySlice<Int>) -> Int {
        let wanted = Int((Double(end) * depth).rounded())
        return ends.last { $0 <= wanted } ?? 0
    }

    /// The offsets behind the sentences of a text: ".", "!" or "?", perhaps a closing quotation mark or bracket, before white space or the
    /// end.
    static func sentenceEnds(_ text: [Unicode.Scalar]) -> [Int] {
        var ends: [Int] = []
        for index in text.indices where [".", "!", "?"].contains(text[index]) {
            var end = index + 1
            while end < text.count, ["\"", "'", "”", "’", ")", "]"].contains(text[end]) { end += 1 }
            if end == text.count || PythonText.isSpace(text[end]), ends.last != end { ends.append(end) }
        }
        return ends
    }

    /// The sentences of a text, their white space folded.
    static func sentences(_ text: String) -> [String] {
        let scalars = Array(text.unicodeScalars)
        var start = 0
        return sentenceEnds(scalars).map { end in
            defer { start = end }
            return PythonText(scalars: scalars[start..<end]).words.map(\.string).joined(separator: " ")
        }
    }

    /// The most of 0 to `limit` for which `fits` holds, which it does for 0 and no longer beyond some number.
    static func most(_ limit: Int, _ fits: (Int) throws -> Bool) rethrows -> Int {
        var (low, high) = (0, min(64, limit))
        while high < limit, try fits(high) { (low, high) = (high, min(2 * high, limit)) }
        if high == limit, try fits(limit) { return limit }
        while high - low > 1 {
            let middle = (low + high) / 2
            if try fits(middle) { low = middle } else { high = middle }
        }
        return low
    }
}
