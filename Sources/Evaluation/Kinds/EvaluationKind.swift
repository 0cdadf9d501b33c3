/// An evaluation of `kvlab eval` as recipes and `--tasks` name it, a line in one table.
public struct EvaluationKind: Sendable {
    /// Its name: that of its subcommand.
    public let name: String
    /// One phrase about it.
    public let summary: String
    /// Its settings, in the order in which they are written.
    public let settings: [EvaluationSetting]
    /// Reads its files and checks what depends on several settings.
    let make: @Sendable (EvaluationSettings) throws -> EvaluationWork

    init(
        _ name: String, _ summary: String, _ settings: [EvaluationSetting],
        make: @escaping @Sendable (EvaluationSettings) throws -> EvaluationWork
    ) {
        (self.name, self.summary, self.settings, self.make) = (name, summary, settings, make)
    }

    /// Every evaluation.
    public static let all: [EvaluationKind] = [passkey, needle, babilong, longbench, ruler, gsm8k, mmlu, task]

    /// The evaluation of this name; nil for none.
    public static func named(_ name: String) -> EvaluationKind? { all.first { $0.name == name } }

    /// The setting of this key; nil for none.
    public subscript(key: String) -> EvaluationSetting? { settings.first { $0.key == key } }
}

/// An evaluation whose files are read: examples to generate, or choices to score by their likelihood.
public enum EvaluationWork: Sendable {
    /// A task whose outputs are generated, with what the rules of its scores read.
    case generation(any GenerationTask, ScoringTask.Options)
    /// Choices scored by likelihood, without a cache, and the files that they are from.
    case choices(ChoiceSet)

    /// The items of a multiple choice.
    public struct ChoiceSet: Sendable {
        /// The task's name.
        public var name: String
        /// The questions with their choices.
        public var items: [ChoiceItem]
        /// The files that they are from.
        public var files: [String]
        /// The options that they depend on.
        public var options: [String: String]
    }

    /// The files that the examples are made from.
    public var files: [String] {
        switch self {
        case .generation(let task, _): task.files
        case .choices(let set): set.files
        }
    }

    /// The number of examples.
    public var count: Int {
        switch self {
        case .generation(let task, _): task.count
        case .choices(let set): set.items.count
        }
    }
}

/// The settings of an evaluation by key, defaults filled in.
public struct EvaluationSettings: Sendable {
    private let kind: EvaluationKind
    private let given: [String: EvaluationSetting.Value]

    init(_ kind: EvaluationKind, _ given: [String: EvaluationSetting.Value]) { (self.kind, self.given) = (kind, given) }

    /// The value of a declared key: the given one, or the default.
    private func value(_ key: String) -> EvaluationSetting.Value? {
        guard let setting = kind[key] else { preconditionFailure("'\(kind.name)' has no setting '\(key)'") }
        return given[key] ?? setting.fallback
    }

    /// Whether a declared key was given.
    func isGiven(_ key: String) -> Bool { given[key] != nil }

    func integer(_ key: String) -> Int? { if case .integer(let value)? = value(key) { value } else { nil } }
    func flag(_ key: String) -> Bool { if case .flag(true)? = value(key) { true } else { false } }
    func text(_ key: String) -> String? { if case .text(let value)? = value(key) { value } else { nil } }
    func integers(_ key: String) -> [Int] { if case .integers(let values)? = value(key) { values } else { [] } }
    func texts(_ key: String) -> [String]? { if case .texts(let values)? = value(key) { values } else { nil } }

    /// Names of a list, each one of `known` and none twice; nil where the list is absent.
    func names(_ key: String, of kind: String, known: [String]) throws(EvaluationFault) -> [String]? {
        guard let names = texts(key) else { return nil }
        if let unknown = names.first(where: { !known.contains($0) }) {
            throw EvaluationFault(key, "'\(unknown)' is not one of the \(kind) \(known.joined(separator: ", "))")
        }
        guard Set(names).count == names.count else { throw EvaluationFault(key, "a name stands there twice") }
        return names
    }
}

/// A setting of an evaluation that cannot be.
public struct EvaluationFault: Error, CustomStringConvertible, Equatable {
    /// The key that it is about; nil for the evaluation as a whole.
    public let key: String?
    /// The sentence without the key.
    public let reason: String

    init(_ key: String?, _ reason: String) { (self.key, self.reason) = (key, reason) }

    /// The sentence for the user.
    public var description: String { key.map { "\($0): \(reason)" } ?? reason }
}
