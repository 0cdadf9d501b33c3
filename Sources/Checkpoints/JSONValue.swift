/// A JSON value of any form: configurations written by others, whose keys are not all known.
enum JSONValue: Sendable, Equatable {
    case null
    case bool(Bool)
    /// The number's own text, so that nothing is rounded before it is known what it is.
    case number(String)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// Parses `bytes` strictly: a key twice, anything after the value, or more than `nodes` values is an error.
    init(parsing bytes: [UInt8], nodes limit: Int = 1_000_000) throws(JSONError) {
        var scanner = JSONScanner(bytes)
        var nodes = 0
        self = try Self.value(&scanner, depth: 0, &nodes, limit)
        try scanner.end()
    }

    private static func value(
        _ scanner: inout JSONScanner, depth: Int, _ nodes: inout Int, _ limit: Int
    ) throws(JSONError) -> JSONValue {
        nodes += 1
        guard nodes <= limit else { throw scanner.error("more than \(limit) values") }
        guard depth < 64 else { throw scanner.error("more than 64 levels") }
        var count = nodes
        defer { nodes = count }
        switch scanner.peek() {
        case UInt8(ascii: "{"):
            var members: [String: JSONValue] = [:]
            try scanner.object { scanner, key throws(JSONError) in
                let member = try value(&scanner, depth: depth + 1, &count, limit)
                guard members.updateValue(member, forKey: key) == nil else { throw scanner.error("'\(key)' twice") }
            }
            return .object(members)
        case UInt8(ascii: "["):
            var elements: [JSONValue] = []
            try scanner.array { scanner throws(JSONError) in
                elements.append(try value(&scanner, depth: depth + 1, &count, limit))
            }
            return .array(elements)
        case UInt8(ascii: "\""): return .string(try scanner.string())
        case let byte? where byte == UInt8(ascii: "-") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte):
            return .number(try scanner.number())
        default:
            switch try scanner.word() {
            case "true": return .bool(true)
            case "false": return .bool(false)
            default: return .null
            }
        }
    }

    /// The member `key` of an object; nil where it is absent or null.
    subscript(key: String) -> JSONValue? {
        guard case .object(let members) = self, let member = members[key], member != .null else { return nil }
        return member
    }

    var string: String? {
        if case .string(let value) = self { value } else { nil }
    }

    var bool: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The number as an integer, also where it is written 4096.0.
    var int: Int? {
        guard case .number(let text) = self else { return nil }
        return Int(text) ?? Double(text).flatMap { Int(exactly: $0) }
    }

    var double: Double? {
        guard case .number(let text) = self, let value = Double(text), value.isFinite else { return nil }
        return value
    }

    var array: [JSONValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }

    var object: [String: JSONValue]? {
        if case .object(let members) = self { members } else { nil }
    }

    /// The value as JSON on one line, for messages.
    var text: String {
        switch self {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .number(let text): text
        case .string(let text): "\"\(text)\""
        case .array(let elements): "[" + elements.map(\.text).joined(separator: ", ") + "]"
        case .object(let members):
            "{" + members.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \($0.value.text)" }.joined(separator: ", ") + "}"
        }
    }
}
