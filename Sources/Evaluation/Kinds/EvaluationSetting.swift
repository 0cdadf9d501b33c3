import Models

/// A setting of an evaluation: its key, values and meaning, declared once for commands, recipes and `--tasks`.
public struct EvaluationSetting: Sendable {
    /// The values of a setting.
    public enum Kind: Sendable {
        /// A whole number of this range.
        case integer(ClosedRange<Int>)
        /// A flag, off by default.
        case flag
        /// Any text.
        case text
        /// One of these names.
        case choice([String])
        /// The path of a file, whose name usually ends in one of these; none for any.
        case file([String])
        /// The path of a folder.
        case folder
        /// Paths of files, one behind the other.
        case files
        /// Files with a name each, NAME=FILE.
        case splits
        /// Different whole numbers of this range.
        case integers(ClosedRange<Int>)
        /// Texts, such as names of tasks.
        case texts
    }

    /// A setting's value.
    public enum Value: Sendable, Hashable {
        case integer(Int)
        case flag(Bool)
        case text(String)
        case integers([Int])
        case texts([String])
    }

    /// Its key in recipes and in `--tasks`: "maxNew".
    public let key: String
    /// Its values.
    public let kind: Kind
    /// Its meaning, in a phrase that names other settings by their keys in backticks.
    public let help: String
    /// Whether the evaluation cannot do without it.
    public let isRequired: Bool
    /// The sentence that asks for it where it is missing, in place of the usual one.
    public let absence: String?
    /// Whether its value alone may stand for the evaluation: as an argument without an option, as a text in a recipe.
    public let standsAlone: Bool
    /// The value that its absence stands for; nil where it stands for none.
    public let fallback: Value?
    /// A usual value.
    public let example: Value

    init(
        _ key: String, _ kind: Kind, _ help: String, isRequired: Bool = false, absence: String? = nil, standsAlone: Bool = false,
        default fallback: Value? = nil, example: Value
    ) {
        (self.key, self.kind, self.help, self.isRequired) = (key, kind, help, isRequired)
        (self.absence, self.standsAlone, self.fallback, self.example) = (absence, standsAlone, fallback, example)
    }

    /// Its meaning as a sentence.
    public var sentence: String { help.prefix(1).uppercased() + help.dropFirst() + "." }

    /// Its command-line option without dashes: "max-new".
    public var option: String { DesignSetting.option(of: key) }
}

extension EvaluationSetting {
    /// The value that `text` spells on the command line, lists with commas; nil where it spells none.
    public func value(_ text: String) -> Value? {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        switch kind {
        case .integer(let range): return Int(text).flatMap { range.contains($0) ? .integer($0) : nil }
        case .flag: return Bool(text).map { .flag($0) }
        case .text, .file, .folder: return text.isEmpty ? nil : .text(text)
        case .choice(let names): return names.contains(text) ? .text(text) : nil
        case .files, .splits, .texts: return parts.contains("") ? nil : .texts(parts)
        case .integers(let range):
            let numbers = parts.compactMap { Int($0) }.filter(range.contains)
            return Set(numbers).count == parts.count ? .integers(numbers) : nil
        }
    }

    /// The values that it takes, in words.
    public var expected: String {
        switch kind {
        case .integer(let range):
            range.upperBound == .max ? "at least \(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"
        case .flag: "true or false"
        case .text: "a text"
        case .choice(let names): names.joined(separator: ", ")
        case .file, .folder: "a path"
        case .files, .splits: "paths with commas between"
        case .integers(let range): "different numbers from \(range.lowerBound) with commas between"
        case .texts: "texts with commas between"
        }
    }
}

extension EvaluationSetting.Value: CustomStringConvertible {
    /// The value as `--tasks` spells it.
    public var description: String {
        switch self {
        case .integer(let value): "\(value)"
        case .flag(let value): "\(value)"
        case .text(let value): value
        case .integers(let values): values.map(String.init).joined(separator: ",")
        case .texts(let values): values.joined(separator: ",")
        }
    }
}

extension EvaluationSetting {
    /// The most tokens to generate, `count` by default; nil where the suite has numbers of its own.
    static func maxNew(_ count: Int?) -> EvaluationSetting {
        EvaluationSetting(
            "maxNew", .integer(1...100_000),
            "tokens generated at most" + (count == nil ? ", instead of the suite's own numbers" : ""),
            default: count.map { .integer($0) }, example: .integer(32))
    }

    /// The first so many of the things that the data has.
    static func limit(_ things: String = "records of each data file") -> EvaluationSetting {
        EvaluationSetting("limit", .integer(1...Int.max), "run the first so many \(things) only", example: .integer(50))
    }

    /// Whether evictions have seen the question.
    public static let queryAware = flag(
        "queryAware", "have evictions decide behind the question, at the prompt's end; by default they have not seen it")

    /// The chat template around prompts.
    static let chat = EvaluationSetting(
        "chat", .choice(["never", "auto", "always"]),
        """
        put prompts into the model's chat template: never, auto (where the model came with one), or always (else in the format whose \
        markers its tokenizer has)
        """, default: .text("never"), example: .text("auto"))

    /// Turns of the chat template for each of the examples called `example`.
    static func multiTurn(_ example: String) -> EvaluationSetting {
        flag("multiTurn", "make each \(example) a user's and an assistant's turn of the chat template")
    }

    /// A flag, off by default.
    static func flag(_ key: String, _ help: String) -> EvaluationSetting {
        EvaluationSetting(key, .flag, help, default: .flag(false), example: .flag(true))
    }

    /// The path of a folder.
    static func folder(_ key: String, _ help: String, isRequired: Bool = false, example: String) -> EvaluationSetting {
        EvaluationSetting(key, .folder, help, isRequired: isRequired, example: .text(example))
    }

    /// The path of a file that the evaluation needs, asked for by `absence`.
    static func file(_ key: String, _ help: String, example: String, absence: String) -> EvaluationSetting {
        EvaluationSetting(key, .file([]), help, isRequired: true, absence: absence, example: .text(example))
    }
}
