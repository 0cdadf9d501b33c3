/// A JSON value with the place of each of its parts.
public struct JSONDocument: Sendable {
    /// The text's one value.
    public let value: JSONValue
    /// The offset of each value in the text, an object or array before its parts, a member's key before its value. They ascend.
    public let offsets: [Int]

    /// Parses `bytes` under the same limits as ``JSONValue/init(parsing:nodes:)``.
    public init(
        parsing bytes: [UInt8], syntax: JSONScanner.Syntax = .strict, nodes limit: Int = 1_000_000
    ) throws(JSONError) {
        var scanner = JSONScanner(bytes, syntax: syntax)
        var builder = JSONTreeBuilder(limit: limit, keepsOffsets: true)
        value = try builder.value(&scanner, depth: 0)
        try scanner.end()
        offsets = builder.offsets
    }
}

/// Builds a tree of values with a scanner.
struct JSONTreeBuilder {
    let limit: Int
    let keepsOffsets: Bool
    private(set) var offsets: [Int] = []
    private var nodes = 0
    private static let depthLimit = 64

    init(limit: Int, keepsOffsets: Bool) {
        self.limit = limit
        self.keepsOffsets = keepsOffsets
    }

    mutating func value(_ scanner: inout JSONScanner, depth: Int) throws(JSONError) -> JSONValue {
        let next = scanner.peek()
        nodes += 1
        guard nodes <= limit else { throw scanner.error("more than \(limit) values") }
        guard depth < Self.depthLimit else { throw scanner.error("nested deeper than \(Self.depthLimit) levels") }
        if keepsOffsets { offsets.append(scanner.position) }
        switch next {
        case UInt8(ascii: "{"): return .object(try members(&scanner, depth: depth))
        case UInt8(ascii: "["):
            var elements: [JSONValue] = []
            try scanner.array { scanner throws(JSONError) in elements.append(try value(&scanner, depth: depth + 1)) }
            return .array(elements)
        case UInt8(ascii: "\""): return .string(try scanner.stringBytes())
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

    private mutating func members(_ scanner: inout JSONScanner, depth: Int) throws(JSONError) -> [JSONValue.Member] {
        var members: [JSONValue.Member] = []
        var places: [[UInt8]: Int] = [:]
        try scanner.objectOfBytes { scanner, key, offset throws(JSONError) in
            if let earlier = places.updateValue(offset, forKey: key) {
                throw scanner.duplicate(key, at: offset, first: earlier)
            }
            if keepsOffsets { offsets.append(offset) }
            members.append(JSONValue.Member(key: key, value: try value(&scanner, depth: depth + 1)))
        }
        return members
    }
}
