/// A setting of an evaluation: its key, values and meaning, declared once for recipes and for `--tasks`.
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
        /// The path of a file or a folder.
        case path
        /// Paths, one behind the other.
        case paths
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
    /// Its meaning, in a phrase.
    public let help: String
    /// Whether the evaluation cannot do without it.
    public let isRequired: Bool
    /// The value that its absence stands for; nil where it stands for none.
    public let fallback: Value?
    /// A usual value.
    public let example: Value

    init(_ key: String, _ kind: Kind, _ help: String, isRequired: Bool = false, default fallback: Value? = nil, example: Value) {
        (self.key, self.kind, self.help, self.isRequired) = (key, kind, help, isRequired)
        (self.fallback, self.example) = (fallback, example)
    }
}

extension EvaluationSetting {
    /// The value that `text` spells on the command line, lists with commas; nil where it spells none.
    func value(_ text: String) -> Value? {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        switch kind {
        case .integer(let range): return Int(text).flatMap { range.contains($0) ? .integer($0) : nil }
        case .flag: return Bool(text).map { .flag($0) }
        case .text, .path: return text.isEmpty ? nil : .text(text)
        case .choice(let names): return names.contains(text) ? .text(text) : nil
        case .paths, .texts: return parts.contains("") ? nil : .texts(parts)
        case .integers(let range):
            let numbers = parts.compactMap { Int($0) }.filter(range.contains)
            return numbers.count == parts.count ? .integers(numbers) : nil
        }
    }

    /// The values that it takes, in words.
    var expected: String {
        switch kind {
        case .integer(let range):
            range.upperBound == .max ? "a whole number from \(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"
        case .flag: "true or false"
        case .text: "a text"
        case .choice(let names): names.joined(separator: ", ")
        case .path: "a path"
        case .paths: "paths with commas between"
        case .integers(let range): "whole numbers from \(range.lowerBound) with commas between"
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
    /// Settings that several evaluations have.
    static let seed = EvaluationSetting(
        "seed", .integer(0...Int.max), "seed of the facts, the same for all models and caches", default: .integer(1),
        example: .integer(2))
    static let trials = "prompts at each length and depth; 50 a length tell two caches apart"
    static let lengths = "prompt lengths in tokens"

    /// The most tokens to generate, `count` by default; nil where the suite has numbers of its own.
    static func maxNew(_ count: Int?) -> EvaluationSetting {
        EvaluationSetting(
            "maxNew", .integer(1...100_000), "tokens generated at most" + (count == nil ? "; the suite's own unless given" : ""),
            default: count.map { .integer($0) }, example: .integer(32))
    }

    static let limit = EvaluationSetting(
        "limit", .integer(1...Int.max), "the first so many records of each data file; all unless given", example: .integer(50))
    static let queryAware = EvaluationSetting(
        "queryAware", .flag, "whether evictions decide behind the question instead of before it", default: .flag(false),
        example: .flag(true))
    static let chat = EvaluationSetting(
        "chat", .choice(["never", "auto", "always"]), "the chat template around prompts, as `--chat`", default: .text("never"),
        example: .text("auto"))
    static let multiTurn = EvaluationSetting(
        "multiTurn", .flag, "whether each worked example is a user's and an assistant's turn of the chat template",
        default: .flag(false), example: .flag(true))

    /// A path that the evaluation needs.
    static func path(_ key: String, _ help: String, example: String, isRequired: Bool = true) -> EvaluationSetting {
        EvaluationSetting(key, .path, help, isRequired: isRequired, example: .text(example))
    }
}
