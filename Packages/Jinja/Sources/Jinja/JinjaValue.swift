/// A value that a template can be given: any JSON value, and undefined.
///
/// ```swift
/// let message: JinjaValue = ["role": "user", "content": "Hello"]
/// ```
public indirect enum JinjaValue: Sendable, Equatable {
    /// A missing variable: prints as nothing, and is false.
    case undefined
    case none
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(String)
    case list([JinjaValue])
    /// Members in the order in which the template meets them. Of a key given twice the last value counts.
    case dictionary([Member])

    /// A key and its value.
    public struct Member: Sendable, Equatable {
        /// The key.
        public var key: String
        /// The key's value.
        public var value: JinjaValue

        /// A member of a dictionary.
        public init(key: String, value: JinjaValue) {
            self.key = key
            self.value = value
        }
    }
}

extension JinjaValue: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
    /// A string.
    public init(stringLiteral value: String) { self = .string(value) }
    /// `True` or `False`.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    /// An integer.
    public init(integerLiteral value: Int) { self = .int(value) }
    /// A float.
    public init(floatLiteral value: Double) { self = .double(value) }
    /// A list.
    public init(arrayLiteral elements: JinjaValue...) { self = .list(elements) }
    /// A dictionary, its members in this order.
    public init(dictionaryLiteral elements: (String, JinjaValue)...) {
        self = .dictionary(elements.map { Member(key: $0.0, value: $0.1) })
    }
    /// Python's `None`.
    public init(nilLiteral: ()) { self = .none }
}
