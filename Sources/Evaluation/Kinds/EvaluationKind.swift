/// An evaluation of `kvlab eval`, of recipes and of `--tasks`, a line in one table.
///
/// Its texts name settings by their keys in backticks; a command line spells these as options.
public protocol EvaluationKind: Sendable {
    /// Its name: that of its command.
    static var name: String { get }
    /// One phrase about it.
    static var summary: String { get }
    /// The first sentence of its command's help.
    static var abstract: String { get }
    /// The help below that.
    static var discussion: String { get }
    /// Its settings, in the order in which they are written.
    static var settings: [EvaluationSetting] { get }
    /// The policy of chat templates where no setting names one.
    static var chat: String { get }
    /// Refuses settings that do not go together.
    static func check(_ settings: EvaluationSettings) throws(EvaluationFault)
    /// Reads the files of settings that were checked.
    static func make(_ settings: EvaluationSettings) throws -> EvaluationWork
}

extension EvaluationKind {
    public static var chat: String { "never" }

    public static func check(_ settings: EvaluationSettings) throws(EvaluationFault) {}

    /// The setting of this key; nil for none.
    public static func setting(_ key: String) -> EvaluationSetting? { settings.first { $0.key == key } }

    /// `text` with its settings in backticks spelled as options.
    public static func withOptions(_ text: String) -> String {
        settings.reduce(text) { $0.replacing("`\($1.key)`", with: "--\($1.option)") }
    }
}

/// The table of evaluations.
public enum EvaluationKinds {
    /// Every evaluation.
    public static let all: [any EvaluationKind.Type] = [
        PasskeyEvaluation.self, NeedleEvaluation.self, BABILongEvaluation.self, LongBenchEvaluation.self,
        LongBench2Evaluation.self, RULEREvaluation.self, GSM8KEvaluation.self, MMLUEvaluation.self, HarnessEvaluation.self,
        DialogueEvaluation.self,
    ]

    /// The evaluation of this name; nil for none.
    public static func named(_ name: String) -> (any EvaluationKind.Type)? { all.first { $0.name == name } }
}

/// An evaluation whose files are read: examples to generate, or choices to score by their likelihood.
public enum EvaluationWork: Sendable {
    /// A task whose outputs are generated, with what the rules of its scores read.
    case generation(any GenerationTask, ScoringTask.Options)
    /// Choices scored by likelihood, and the files that they are from.
    case choices(ChoiceSet)

    /// The items of a multiple choice.
    public struct ChoiceSet: Sendable {
        /// The task's name.
        public var name: String
        /// The questions with their choices, by subject.
        public var groups: [(name: String, items: [ChoiceItem])]
        /// The metrics by the harness's names.
        public var metrics: [String]
        /// The files that they are from.
        public var files: [String]
        /// The options that they depend on.
        public var options: [String: String]

        /// The questions of all groups.
        public var items: [ChoiceItem] { groups.flatMap(\.items) }
    }

    /// The files that the examples are made from.
    public var files: [String] {
        switch self {
        case .generation(let task, _): task.files
        case .choices(let set): set.files
        }
    }

    /// Whether something precedes every question, at whose end evictions decide.
    public var hasContext: Bool {
        switch self {
        case .generation(let task, _): task.hasContext
        case .choices(let set): set.items.allSatisfy { $0.promptBytes > 0 }
        }
    }

    /// The number of examples.
    public var count: Int {
        switch self {
        case .generation(let task, _): task.count
        case .choices(let set): set.groups.map(\.items.count).reduce(0, +)
        }
    }
}

/// The settings of an evaluation by key, defaults filled in.
public struct EvaluationSettings: Sendable {
    private let kind: any EvaluationKind.Type
    private let given: [String: EvaluationSetting.Value]

    init(_ kind: any EvaluationKind.Type, _ given: [String: EvaluationSetting.Value]) { (self.kind, self.given) = (kind, given) }

    /// The value of a declared key: the given one, or the default.
    private func value(_ key: String) -> EvaluationSetting.Value? {
        guard let setting = kind.setting(key) else { preconditionFailure("'\(kind.name)' has no setting '\(key)'") }
        return given[key] ?? setting.fallback
    }

    /// Whether a declared key was given.
    func isGiven(_ key: String) -> Bool { given[key] != nil }

    func integer(_ key: String) -> Int? { if case .integer(let value)? = value(key) { value } else { nil } }
    func flag(_ key: String) -> Bool { if case .flag(true)? = value(key) { true } else { false } }
    func text(_ key: String) -> String? { if case .text(let value)? = value(key) { value } else { nil } }
    func integers(_ key: String) -> [Int] { if case .integers(let values)? = value(key) { values } else { [] } }
    func texts(_ key: String) -> [String]? { if case .texts(let values)? = value(key) { values } else { nil } }

    /// The whole number of a setting that is required or has a default.
    func count(_ key: String) -> Int { present(integer(key), key) }

    /// The text of a setting that is required or has a default.
    func word(_ key: String) -> String { present(text(key), key) }

    private func present<Value>(_ value: Value?, _ key: String) -> Value {
        guard let value else { preconditionFailure("'\(kind.name)' has no value of '\(key)'") }
        return value
    }

    /// Names of a list, each one of `known` and none twice; nil where the list is absent.
    @discardableResult
    func names(_ key: String, of things: String, known: [String]) throws(EvaluationFault) -> [String]? {
        guard let names = texts(key) else { return nil }
        if let unknown = names.first(where: { !known.contains($0) }) {
            throw EvaluationFault(key, "has '\(unknown)'; the \(things) are \(known.joined(separator: ", "))")
        }
        guard Set(names).count == names.count else {
            throw EvaluationFault(key, "is '\(names.joined(separator: ","))', which names one twice")
        }
        return names
    }
}

/// A setting of an evaluation that cannot be.
public struct EvaluationFault: Error, CustomStringConvertible, Equatable {
    /// The key that it is about; nil for the evaluation as a whole.
    public let key: String?
    /// The sentence without the key, other keys in backticks.
    private let text: String

    init(_ key: String?, _ text: String) { (self.key, self.text) = (key, text) }

    /// The sentence without the key.
    public var reason: String { text.replacing("`", with: "'") }

    /// The sentence for the user.
    public var description: String { key.map { "\($0): \(reason)" } ?? reason }

    /// The sentence for a command line of `kind`; one that names its own key stands alone.
    public func sentence(for kind: any EvaluationKind.Type) -> String {
        let sentence = kind.withOptions(text)
        guard let key, let setting = kind.setting(key), !text.contains("`\(key)`") else { return sentence }
        return "--\(setting.option) \(sentence)"
    }
}
