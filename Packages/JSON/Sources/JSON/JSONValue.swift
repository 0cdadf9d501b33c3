/// A JSON value of any form, with strings as UTF-8: two that Unicode calls equivalent are two keys here, where Swift's
/// `String` would make one of them.
public indirect enum JSONValue: Equatable, Sendable {
    case null
    case bool(Bool)
    /// The number's own text, which is rounded only once a type is asked for.
    case number(String)
    case string([UInt8])
    case array([JSONValue])
    /// Members in the order written, no key twice.
    case object([Member])

    /// A key and its value.
    public struct Member: Equatable, Sendable {
        /// The key, as UTF-8.
        public var key: [UInt8]
        /// The key's value.
        public var value: JSONValue

        public init(key: [UInt8], value: JSONValue) {
            self.key = key
            self.value = value
        }

        /// A member whose key is a string.
        public init(_ name: String, _ value: JSONValue) { self.init(key: Array(name.utf8), value: value) }

        /// The key as a string.
        public var name: String { String(decoding: key, as: UTF8.self) }
    }

    /// A string.
    public static func text(_ text: String) -> JSONValue { .string(Array(text.utf8)) }

    /// A whole number.
    public static func int(_ value: Int) -> JSONValue { .number("\(value)") }

    /// An object of these members, in this order.
    public static func object(_ members: KeyValuePairs<String, JSONValue>) -> JSONValue {
        .object(members.map { Member($0.key, $0.value) })
    }

    /// An object of members that are put together when the program runs, in this order.
    public static func object(of members: [(String, JSONValue)]) -> JSONValue {
        .object(members.map { Member($0.0, $0.1) })
    }

    /// Parses `bytes` strictly (RFC 8259): a key twice, anything after the value, more than 64 levels or more than `nodes`
    /// values is an error.
    public init(parsing bytes: [UInt8], nodes limit: Int = 1_000_000) throws(JSONError) {
        var scanner = JSONScanner(bytes)
        var builder = JSONTreeBuilder(limit: limit, keepsOffsets: false)
        self = try builder.value(&scanner, depth: 0)
        try scanner.end()
    }

    /// The member `key` of an object; nil where it is absent or null.
    public subscript(key: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        guard let value = members.first(where: { $0.key.elementsEqual(key.utf8) })?.value, value != .null else { return nil }
        return value
    }

    /// Whether an object has the key at all, null included.
    public func has(_ key: String) -> Bool { members?.contains { $0.key.elementsEqual(key.utf8) } ?? false }

    /// A string's UTF-8.
    public var bytes: [UInt8]? {
        if case .string(let bytes) = self { bytes } else { nil }
    }

    /// A string.
    public var string: String? { bytes.map { String(decoding: $0, as: UTF8.self) } }

    /// A truth value.
    public var bool: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The number as an integer, also where it is written 4096.0.
    public var int: Int? {
        guard case .number(let text) = self else { return nil }
        return Int(text) ?? Double(text).flatMap { Int(exactly: $0) }
    }

    /// The number, where it is finite.
    public var double: Double? {
        guard case .number(let text) = self, let value = Double(text), value.isFinite else { return nil }
        return value
    }

    /// An array's elements.
    public var array: [JSONValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }

    /// An object's members.
    public var members: [Member]? {
        if case .object(let members) = self { members } else { nil }
    }

    /// This object with `key` set, at the end; any other value is left as it is.
    public func setting(_ key: String, _ value: JSONValue) -> JSONValue {
        guard case .object(var members) = self else { return self }
        let key = Array(key.utf8)
        members.removeAll { $0.key == key }
        members.append(Member(key: key, value: value))
        return .object(members)
    }
}
