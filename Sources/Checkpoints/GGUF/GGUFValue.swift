/// A value of a GGUF file's metadata.
enum GGUFValue: Equatable, Sendable {
    /// The type's number in the file.
    enum Kind: UInt32 {
        case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

        /// The least bytes of a value.
        var byteCount: Int {
            switch self {
            case .uint8, .int8, .bool: 1
            case .uint16, .int16: 2
            case .uint32, .int32, .float32: 4
            case .uint64, .int64, .float64, .string: 8
            case .array: 12
            }
        }

        /// The bytes of every value; nil if they vary.
        var fixedByteCount: Int? { self == .string || self == .array ? nil : byteCount }
    }

    case integer(Int)
    /// An integer that overflows an Int.
    case large(UInt64)
    case number(Double)
    case bool(Bool)
    case string([UInt8])
    case array([GGUFValue])
    /// An array of numbers that were skipped, by its count.
    case unread(Int)

    var int: Int? { if case .integer(let value) = self { value } else { nil } }
    var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    var bytes: [UInt8]? { if case .string(let value) = self { value } else { nil } }
    var string: String? { bytes.map { String(decoding: $0, as: UTF8.self) } }
    var array: [GGUFValue]? { if case .array(let values) = self { values } else { nil } }

    var double: Double? {
        switch self {
        case .number(let value): value.isFinite ? value : nil
        case .integer(let value): Double(value)
        default: nil
        }
    }

    /// The value for messages, truncated.
    var text: String {
        switch self {
        case .integer(let value): "\(value)"
        case .large(let value): "\(value)"
        case .number(let value): "\(value)"
        case .bool(let value): "\(value)"
        case .string(let bytes): "'\(String(decoding: bytes.prefix(80), as: UTF8.self))'"
        case .unread(let count): "an array of \(count) numbers"
        case .array(let values): "[\(values.prefix(8).map(\.text).joined(separator: ", "))\(values.count > 8 ? ", …" : "")]"
        }
    }
}
