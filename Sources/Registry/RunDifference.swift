import JSON

/// What sets two runs apart: values of their recipes, and how they fared.
public struct RunDifference: Sendable, Equatable {
    /// A value that differs.
    public struct Entry: Sendable, Equatable, Encodable {
        /// The value's place: "train.learningRate".
        public var key: String
        /// In the first run; nil where it is absent.
        public var first: String?
        /// In the second.
        public var second: String?
    }

    /// Values of the recipes that differ, in the order of the first recipe, then what only the second has.
    public var recipe: [Entry]
    /// Held-out bits per byte at steps that both have validated after.
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

    /// Where two JSON texts differ, leaf by leaf; what is no JSON counts as empty.
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
