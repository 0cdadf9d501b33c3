/// An evaluation with its settings, as a recipe or `--tasks` names it: `passkey`, or `passkey:lengths=512,1024,trials=50`.
///
/// A part between commas without a "=" belongs to the value before it.
public struct EvaluationSpec: Sendable, Hashable, CustomStringConvertible {
    /// The evaluation's name.
    public let name: String
    /// The settings given, by key.
    public let given: [String: EvaluationSetting.Value]

    /// An evaluation from settings by their keys.
    ///
    /// Throws ``EvaluationFault`` for a required setting that is missing. Precondition: name and keys are declared.
    public init(_ name: String, _ given: [String: EvaluationSetting.Value]) throws(EvaluationFault) {
        (self.name, self.given) = (name, given)
        for setting in kind.settings where setting.isRequired && given[setting.key] == nil {
            throw EvaluationFault(setting.key, setting.absence ?? "is missing, \(setting.help)")
        }
        for case .integers(let values) in given.values where Set(values).count != values.count {
            throw EvaluationFault(given.first { $0.value == .integers(values) }?.key, "a number stands there twice")
        }
    }

    /// Reads an evaluation from the command line; throws ``EvaluationFault``.
    public init(_ text: String) throws(EvaluationFault) {
        let sides = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let kind = EvaluationKinds.named(sides[0]) else {
            throw EvaluationFault(
                nil, "'\(sides[0])' is no evaluation; they are \(EvaluationKinds.all.map { $0.name }.joined(separator: ", "))")
        }
        var parts: [(key: String, value: String)] = []
        for part in sides.count == 1 ? [] : sides[1].split(separator: ",", omittingEmptySubsequences: false).map(String.init) {
            if let equals = part.firstIndex(of: "="), kind.setting(String(part[..<equals])) != nil || parts.isEmpty {
                parts.append((String(part[..<equals]), String(part[part.index(after: equals)...])))
            } else if parts.isEmpty {
                throw EvaluationFault(nil, "'\(part)' is no setting of \(kind.name), expected KEY=VALUE")
            } else {
                parts[parts.count - 1].value += "," + part
            }
        }
        var given: [String: EvaluationSetting.Value] = [:]
        for (key, text) in parts {
            guard let setting = kind.setting(key) else {
                let keys = kind.settings.map(\.key).joined(separator: ", ")
                throw EvaluationFault(nil, "'\(key)' is no setting of \(kind.name); its keys are \(keys)")
            }
            guard let value = setting.value(text) else {
                throw EvaluationFault(key, "'\(text)', expected \(setting.expected)")
            }
            guard given.updateValue(value, forKey: key) == nil else { throw EvaluationFault(key, "is set twice") }
        }
        try self.init(kind.name, given)
    }

    /// Its declaration.
    public var kind: any EvaluationKind.Type {
        guard let kind = EvaluationKinds.named(name) else { preconditionFailure("EvaluationSpec: no evaluation '\(name)'") }
        return kind
    }

    /// The settings given, in the order of their declarations.
    public var settings: [(key: String, value: EvaluationSetting.Value)] {
        kind.settings.compactMap { setting in given[setting.key].map { (setting.key, $0) } }
    }

    /// The evaluation as the command line reads it.
    public var description: String {
        let parts = settings.map { "\($0.key)=\($0.value)" }
        return name + (parts.isEmpty ? "" : ":" + parts.joined(separator: ","))
    }

    /// Whether evictions decide behind the question instead of before it.
    public var isQueryAware: Bool { given["queryAware"] == .flag(true) }

    /// The policy of chat templates: never, auto or always, or served for the format of the server.
    public var chat: String { if case .text(let policy)? = given["chat"] { policy } else { kind.chat } }

    /// The most tokens that prompts and outputs are aimed at, for grids of lengths; nil where the data decides.
    public var aimedTokens: Int? {
        guard kind.setting("lengths") != nil else { return nil }
        let settings = EvaluationSettings(kind, given)
        // RULER's lengths count the output.
        let behind = kind.setting("depths") == nil ? 0 : settings.integer("maxNew") ?? 1
        return settings.integers("lengths").max().map { $0 + behind - 1 }
    }

    /// Refuses settings that do not go together.
    public func check() throws(EvaluationFault) { try kind.check(EvaluationSettings(kind, given)) }

    /// Reads the evaluation's files.
    ///
    /// Throws ``EvaluationFault`` for settings that do not go together, `FileError` and ``ScoringError`` for files.
    public func make() throws -> EvaluationWork {
        try check()
        return try kind.make(EvaluationSettings(kind, given))
    }
}
