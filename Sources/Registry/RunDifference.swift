import JSON

/// The difference of two runs: values of their recipes, and their validations.
public struct RunDifference: Sendable, Equatable {
    /// A value that differs.
    public struct Entry: Sendable, Equatable, Encodable {
        /// The value's place: "train.learningRate".
        public var key: String
        /// The first run's value; nil if absent.
        public var first: String?
        /// The second run's value; nil if absent.
        public var second: String?
    }

    /// The differing values of the recipes, in the order of the first recipe, then those of the second alone.
    public var recipe: [Entry]
    /// Held-out bits per byte after the steps at which both were validated.
    public var validations: [Validation]

    /// Both runs' held-out bits per byte after the same step.
    public struct Validation: Sendable, Equatable, Encodable {
        /// The step.
        public var step: Int
        /// The first run's.
        public var first: Double
        /// The second run's.
        public var second: Double
    }

    /// The difference of two runs of `registry`.
    public init(_ first: RunRecord, _ second: RunRecord, in registry: RunRegistry) throws {
        recipe = Self.entries(first.recipe, second.recipe)
        let other = Dictionary(try registry.validations(of: second).map { ($0.step, $0.bitsPerByte) }) { $1 }
        validations = try registry.validations(of: first).compactMap { step, bits in
            other[step].map { Validation(step: step, first: bits, second: $0) }
        }
    }

    /// The differences of two JSON texts, leaf by leaf; text that is not JSON counts as empty.
    static func entries(_ first: String, _ second: String) -> [Entry] {
        let (a, b) = (leaves(first), leaves(second))
        let firstValues = Dictionary(a) { $1 }
        let secondValues = Dictionary(b) { $1 }
        let keys = a.map(\.0) + b.map(\.0).filter { firstValues[$0] == nil }
        return keys.compactMap { key in
            firstValues[key] == secondValues[key] ? nil : Entry(key: key, first: firstValues[key], second: secondValues[key])
        }
    }

    private static func leaves(_ text: String) -> [(String, String)] {
        guard let value = try? JSONValue(parsing: Array(text.utf8)) else { return [] }
        func walk(_ value: JSONValue, _ path: String) -> [(String, String)] {
            switch value {
            case .object(let members):
                members.flatMap { walk($0.value, path.isEmpty ? $0.name : path + "." + $0.name) }
            case .array(let elements):
                elements.enumerated().flatMap { walk($1, "\(path)[\($0)]") }
            case .null: [(path, "null")]
            case .bool(let value): [(path, String(value))]
            case .number(let text): [(path, text)]
            case .string(let bytes): [(path, "\"" + String(decoding: bytes, as: UTF8.self) + "\"")]
            }
        }
        return walk(value, "")
    }
}
