/// A setting of an attention design or of a conversion: its recipe key, its command-line option, its help and its range in one
/// place.
public struct DesignSetting: Sendable, Hashable {
    /// The values of a setting.
    public enum Kind: Sendable, Hashable {
        /// A whole number of this range.
        case integer(ClosedRange<Int>)
        /// A flag, on by default.
        case flag
        /// One of these names, by default the first.
        case choice([String])
    }

    /// Its key in recipes: "ropeHeadDim".
    public let key: String
    /// Its command-line option without dashes: "rope-head-dim"; for a flag the option that turns it off: "no-norm".
    public let option: String
    /// One line for `--help`.
    public let help: String
    /// Its values.
    public let kind: Kind
    /// Whether the setting is required.
    public let isRequired: Bool
    /// A usual value of a whole number; nil for other kinds.
    public let example: Int?

    /// A setting whose option is spelled as its key unless `option` gives another name.
    public init(
        _ key: String, _ kind: Kind, option: String? = nil, isRequired: Bool = false, help: String, example: Int? = nil
    ) {
        self.key = key
        self.example = example
        self.kind = kind
        self.isRequired = isRequired
        self.help = help
        let spelled = Self.option(of: option ?? key)
        self.option = kind == .flag ? "no-" + spelled : spelled
    }

    /// The spelling of a key as a command-line option: rope-head-dim for ropeHeadDim.
    public static func option(of key: String) -> String {
        key.map { $0.isUppercase ? "-" + $0.lowercased() : String($0) }.joined()
    }

    /// A whole number from `range`.
    public static func integer(
        _ key: String, _ range: ClosedRange<Int>, option: String? = nil, isRequired: Bool = false, help: String,
        example: Int
    ) -> DesignSetting {
        DesignSetting(key, .integer(range), option: option, isRequired: isRequired, help: help, example: example)
    }
}

/// Values of settings by key; settings that were not given are absent.
public struct DesignSettings: Sendable, Hashable, ExpressibleByDictionaryLiteral {
    /// A setting's value.
    public enum Value: Sendable, Hashable, Encodable {
        case integer(Int)
        case flag(Bool)
        case choice(String)

        public func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .integer(let value): try container.encode(value)
            case .flag(let value): try container.encode(value)
            case .choice(let value): try container.encode(value)
            }
        }
    }

    /// The values by key.
    public var values: [String: Value]

    /// Settings with `values`.
    public init(_ values: [String: Value] = [:]) { self.values = values }

    public init(dictionaryLiteral elements: (String, Value)...) {
        values = Dictionary(elements) { _, last in last }
    }

    /// A whole number; nil where it is absent.
    public subscript(_ key: String) -> Int? {
        get {
            guard case .integer(let value)? = values[key] else { return nil }
            return value
        }
        set { values[key] = newValue.map(Value.integer) }
    }

    /// Whether a flag is on, its default.
    public func isOn(_ key: String) -> Bool { values[key] != .flag(false) }

    /// A choice; nil where it is absent.
    public func choice(_ key: String) -> String? {
        guard case .choice(let value)? = values[key] else { return nil }
        return value
    }

    /// The values restricted to `settings`.
    public func only(_ settings: [DesignSetting]) -> DesignSettings {
        DesignSettings(values.filter { key, _ in settings.contains { $0.key == key } })
    }
}
