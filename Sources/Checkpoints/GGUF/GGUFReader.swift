/// A sequential reader of a GGUF header, which never reads past its end nor allocates more than the bytes it has read.
@safe struct GGUFReader {
    private let bytes: UnsafeRawBufferPointer
    private let path: String
    /// Bytes read so far.
    private(set) var offset = 0

    /// `bytes` must outlive the reader.
    @unsafe init(bytes: UnsafeRawBufferPointer, path: String) {
        unsafe self.bytes = bytes
        self.path = path
    }

    private var left: Int { unsafe bytes.count - offset }

    private func malformed(_ reason: String) -> ImportError { .malformed(path: path, format: "GGUF", reason: reason) }

    private mutating func take(_ count: Int) throws(ImportError) -> Int {
        guard count >= 0, count <= left else { throw malformed("it ends inside its header, at byte \(offset)") }
        defer { offset += count }
        return offset
    }

    mutating func bytes(_ count: Int) throws(ImportError) -> [UInt8] {
        let start = try take(count)
        return unsafe Array(bytes[start..<start + count])
    }

    mutating func integer<Value: FixedWidthInteger>(_: Value.Type) throws(ImportError) -> Value {
        let start = try take(MemoryLayout<Value>.size)
        return unsafe Value(littleEndian: bytes.loadUnaligned(fromByteOffset: start, as: Value.self))
    }

    mutating func uint32() throws(ImportError) -> UInt32 { try integer(UInt32.self) }
    mutating func uint64() throws(ImportError) -> UInt64 { try integer(UInt64.self) }

    /// The number of following `things`, of at least `bytesEach` bytes each.
    mutating func count(limit: Int, bytesEach: Int, of things: String) throws(ImportError) -> Int {
        let found = try uint64()
        guard found <= UInt64(limit), Int(found) <= left / bytesEach else {
            throw malformed(
                "it claims \(found) \(things), more than \(found > UInt64(limit) ? "any file has" : "fit in its \(left) bytes")")
        }
        return Int(found)
    }

    /// A string of bytes.
    mutating func string() throws(ImportError) -> [UInt8] {
        let count = try uint64()
        guard count <= UInt64(left) else { throw malformed("a string at byte \(offset) claims \(count) bytes, \(left) are left") }
        return try bytes(Int(count))
    }

    /// A short string that must be UTF-8.
    mutating func text(limit: Int, of thing: String) throws(ImportError) -> String {
        let start = offset
        let bytes = try string()
        guard bytes.count <= limit, !bytes.isEmpty, !bytes.contains(0), let text = String(validating: bytes, as: UTF8.self) else {
            throw malformed("\(thing) at byte \(start) is not UTF-8 text of 1 to \(limit) bytes")
        }
        return text
    }

    /// The type and value of `key`.
    mutating func value(_ key: String) throws(ImportError) -> GGUFValue {
        let kind = try kind(key)
        guard kind == .array else { return try scalar(kind, key) }
        let element = try self.kind(key)
        guard element != .array else { throw malformed("'\(key)' is an array of arrays") }
        let count = try count(limit: 1 << 26, bytesEach: element.byteCount, of: "values for '\(key)'")
        // Values in memory take many times their bytes in the file: long lists without a reader are skipped.
        if element.byteCount < 4 || count > 1 << 16 && element.fixedByteCount != nil && !key.hasPrefix("tokenizer.") {
            guard let bytes = element.fixedByteCount else { throw malformed("'\(key)' is an array of arrays") }
            _ = try take(count * bytes)
            return .unread(count)
        }
        var values: [GGUFValue] = []
        values.reserveCapacity(count)
        for _ in 0..<count { values.append(try scalar(element, key)) }
        return .array(values)
    }

    private mutating func kind(_ key: String) throws(ImportError) -> GGUFValue.Kind {
        let number = try uint32()
        guard let kind = GGUFValue.Kind(rawValue: number) else { throw malformed("'\(key)' has the unknown type \(number)") }
        return kind
    }

    private mutating func scalar(_ kind: GGUFValue.Kind, _ key: String) throws(ImportError) -> GGUFValue {
        switch kind {
        case .uint8: return .integer(Int(try integer(UInt8.self)))
        case .int8: return .integer(Int(try integer(Int8.self)))
        case .uint16: return .integer(Int(try integer(UInt16.self)))
        case .int16: return .integer(Int(try integer(Int16.self)))
        case .uint32: return .integer(Int(try uint32()))
        case .int32: return .integer(Int(try integer(Int32.self)))
        case .int64: return .integer(Int(try integer(Int64.self)))
        case .uint64:
            let value = try uint64()
            return Int(exactly: value).map { .integer($0) } ?? .large(value)
        case .float32:
            // The shortest decimal that gives the same float: 1e-05, not 9.99999974e-06.
            let value = Float(bitPattern: try uint32())
            return .number(Double(value.description) ?? Double(value))
        case .float64: return .number(Double(bitPattern: try uint64()))
        case .bool:
            let value = try integer(UInt8.self)
            guard value <= 1 else { throw malformed("'\(key)' is a truth value of \(value)") }
            return .bool(value == 1)
        case .string: return .string(try string())
        case .array: throw malformed("'\(key)' is an array of arrays")
        }
    }
}
