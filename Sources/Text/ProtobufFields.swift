/// An iterator over the fields of one protocol buffer message; never reads past its end.
struct ProtobufFields {
    /// A field's number and its value on the wire.
    struct Field {
        var number: UInt64
        var value: Value
    }

    enum Value {
        case varint(UInt64)
        case fixed64(UInt64)
        case fixed32(UInt32)
        /// A string, bytes, or a message.
        case bytes(ArraySlice<UInt8>)
    }

    private var rest: ArraySlice<UInt8>
    private let file: String

    /// The fields of `message`; `file` names it in errors.
    init(_ message: ArraySlice<UInt8>, file: String) {
        rest = message
        self.file = file
    }

    /// The next field, nil at the end.
    mutating func next() throws(TextError) -> Field? {
        guard !rest.isEmpty else { return nil }
        let key = try varint()
        guard key >> 3 > 0 else { throw malformed("a field without a number") }
        switch key & 7 {
        case 0: return Field(number: key >> 3, value: .varint(try varint()))
        case 1: return Field(number: key >> 3, value: .fixed64(try fixed(8)))
        case 2:
            let count = try varint()
            guard count <= UInt64(rest.count) else { throw malformed("a field of \(count) bytes where \(rest.count) are left") }
            defer { rest = rest.dropFirst(Int(count)) }
            return Field(number: key >> 3, value: .bytes(rest.prefix(Int(count))))
        case 5: return Field(number: key >> 3, value: .fixed32(UInt32(truncatingIfNeeded: try fixed(4))))
        default: throw malformed("the unknown wire type \(key & 7)")
        }
    }

    private func malformed(_ reason: String) -> TextError {
        .malformedTokenizer(file: file, reason: "\(reason), at byte \(rest.startIndex)")
    }

    private mutating func varint() throws(TextError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard let byte = rest.popFirst() else { throw malformed("a number that does not end") }
            guard shift < 63 || byte <= 1 else { break }
            value |= UInt64(byte & 0x7f) << shift
            if byte & 0x80 == 0 { return value }
        }
        throw malformed("a number of more than 64 bits")
    }

    private mutating func fixed(_ count: Int) throws(TextError) -> UInt64 {
        guard rest.count >= count else { throw malformed("a number that does not end") }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
