import Random

/// The prompts of passkey retrieval (Mohtashami & Jaggi 2023, "Landmark Attention") over a grid of lengths and depths.
///
/// A key stands between two stretches of the same garbage, each cut from its beginning:
///
/// ```
/// task ⏎ garbage ⏎ The pass key is K. Remember it. K is the pass key. ⏎ garbage ⏎ What is the pass key? The pass key is
/// ```
///
/// In place of the garbage may stand a book, whose second stretch goes on behind the first.
///
/// Departure from the original, whose lengths are characters of garbage and whose depths are random: a prompt has the most characters
/// of garbage with which it has at most `length` tokens, and depths are the middles of equal parts.
public struct PasskeyGrid: GenerationTask {
    /// The text around a key.
    public enum Filler: Sendable, Equatable {
        /// The original's sentences, again and again.
        case garbage
        /// A text.
        case text(String)

        /// Its scalars, where there is an end to them.
        fileprivate var scalars: [Unicode.Scalar]? {
            if case .text(let text) = self { Array(text.unicodeScalars) } else { nil }
        }
    }

    /// The stretches of a filler before and behind a key.
    struct Stretches {
        private let scalars: [Unicode.Scalar]?
        /// Characters there are, without end for garbage.
        let count: Int

        init(_ filler: Filler) {
            scalars = filler.scalars
            count = scalars?.count ?? .max
        }

        /// The stretches of `before` and `behind` characters.
        func cut(_ before: Int, _ behind: Int) -> (String, String) {
            guard let scalars else { return (garbage(before), garbage(behind)) }
            func text(_ range: Range<Int>) -> String { String(String.UnicodeScalarView(scalars[range])) }
            return (text(0..<min(before, count)), text(min(before, count)..<min(before + behind, count)))
        }

        private func garbage(_ count: Int) -> String {
            let repeats = count / (PasskeyGrid.garbage.count + 1) + 1
            return String(Array(repeating: PasskeyGrid.garbage, count: repeats).joined(separator: " ").prefix(count))
        }
    }

    /// Prompt lengths in tokens.
    public var lengths: [Int]
    /// Depths: (i + ½)/depths of the garbage stands before the key.
    public var depths: Int
    /// Keys drawn at each length and depth.
    public var trials: Int
    /// Seeds the keys, which do not depend on the model.
    public var seed: UInt64
    /// The most tokens to generate.
    public var maxTokens: Int
    /// The text around the key, and its files.
    public var filler = Filler.garbage
    public let files: [String]

    /// The grid of every length and depth, `trials` keys at each, in `filler` of `files`.
    public init(
        lengths: [Int], depths: Int, trials: Int, seed: UInt64, maxTokens: Int = 10, filler: Filler = .garbage,
        files: [String] = []
    ) {
        (self.filler, self.files) = (filler, files)
        self.lengths = lengths
        self.depths = depths
        self.trials = trials
        self.seed = seed
        self.maxTokens = maxTokens
    }

    private static let instruction =
        "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz you about the important information there."
    /// The sentences of the original's garbage, which are RULER's noise too.
    static let garbage = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
    private static let question = "What is the pass key? The pass key is"

    public var name: String { "passkey" }

    public var count: Int { lengths.count * depths * trials }

    public var options: [String: String] {
        [
            "lengths": lengths.map { "\($0)" }.joined(separator: ","), "depths": "\(depths)", "trials": "\(trials)",
            "seed": "\(seed)", "max-new": "\(maxTokens)",
        ]
    }

    /// The prompt with a key in `characters` of `filler`.
    static func prompt(key: Int, characters: Int, depth: Double, filler: Stretches = Stretches(.garbage)) -> String {
        let before = Int((Double(characters) * depth).rounded())
        let (first, second) = filler.cut(before, characters - before)
        return [
            instruction, first, "The pass key is \(key). Remember it. \(key) is the pass key.", second, question,
        ].joined(separator: "\n")
    }

    /// The examples for a tokenizer, ordered so that each finds the most of its prompt in a prefix cache: all begin with the same
    /// filler, and prompts whose key comes last come first.
    ///
    /// Throws ``PasskeyLengthError`` where a length is too short for a prompt without filler, ``NeedleGrid/Fault`` where it takes more
    /// filler than there is, and ``ChatTemplateError``.
    public func examples(_ encoder: PromptEncoder) throws -> [GenerationExample] {
        guard let task = ScoringTask.named("passkey", isDataset: false) else {
            preconditionFailure("PasskeyGrid: no task 'passkey'")
        }
        var examples: [(place: Double, example: GenerationExample)] = []
        let filler = Stretches(filler)
        for length in lengths {
            for index in 0..<depths {
                let depth = (Double(index) + 0.5) / Double(depths)
                // Keys of most digits take the most room; shorter ones leave a token or so unused.
                let longest = try characters(length: length, most: filler.count) {
                    try encoder.count(Self.prompt(key: 50_000, characters: $0, depth: depth, filler: filler))
                }
                for trial in 0..<trials {
                    let id = "passkey/\(length)/\(Self.text(depth))/\(trial)"
                    var generator = SeededGenerator(seed: seed, name: id)
                    let key = Int.random(in: 1...50_000, using: &generator)
                    var characters = longest
                    var prompt = Self.prompt(key: key, characters: characters, depth: depth, filler: filler)
                    while characters > 0, try encoder.count(prompt) > length {
                        characters -= 1
                        prompt = Self.prompt(key: key, characters: characters, depth: depth, filler: filler)
                    }
                    let encoded = try encoder.encoded(prompt, questionBytes: Self.question.utf8.count, id: id)
                    examples.append(
                        (
                            depth * Double(characters),
                            GenerationExample(
                                id: id, group: ExampleGroup(length: length, depth: depth), prompt: encoded.text,
                                tokens: encoded.tokens, contextTokens: encoded.contextTokens, maxTokens: maxTokens,
                                references: ["\(key)"], stops: encoded.stops, task: task)
                        ))
                }
            }
        }
        // Stable, so that trials stay in their order.
        return examples.enumerated().sorted { ($1.element.place, $0.offset) < ($0.element.place, $1.offset) }.map(
            \.element.example)
    }

    /// The most characters of filler, fewer than `most`, with which `count` gives at most `length` tokens.
    private func characters(length: Int, most: Int, _ count: (Int) throws -> Int) throws -> Int {
        let least = try count(0)
        guard least <= length else { throw PasskeyLengthError(length: length, least: least) }
        var (low, high) = (0, min(2 * length, most))
        while try count(high) <= length {
            guard high < most else { throw NeedleGrid.Fault.shortHaystack(length: length, tokens: try count(high)) }
            (low, high) = (high, min(2 * high, most))
        }
        while high - low > 1 {
            let middle = (low + high) / 2
            if try count(middle) <= length { low = middle } else { high = middle }
        }
        return low
    }

    /// A depth as text, such as 0.05.
    static func text(_ depth: Double) -> String { "\((depth * 10_000).rounded() / 10_000)" }
}

/// A length shorter than a passkey prompt without garbage.
public struct PasskeyLengthError: Error, CustomStringConvertible, Equatable {
    /// The length asked for, in tokens.
    public var length: Int
    /// The tokens of a prompt without garbage.
    public var least: Int

    /// The sentence for the user.
    public var description: String {
        "a length of \(length) tokens is too short for a passkey prompt, which has at least \(least) with this tokenizer"
    }
}
