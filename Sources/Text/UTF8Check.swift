/// UTF-8 validation and character boundaries.
enum UTF8Check {
    /// The offset of the first invalid sequence; nil where all of `bytes` is UTF-8.
    static func firstInvalid(in bytes: Span<UInt8>) -> Int? {
        do throws(UTF8.ValidationError) {
            _ = try UTF8Span(validating: bytes)
            return nil
        } catch {
            return error.byteOffsets.lowerBound
        }
    }

    /// The last character boundary at or before `index`.
    static func boundary(in bytes: Span<UInt8>, atOrBefore index: Int) -> Int {
        var index = min(index, bytes.count)
        while index > 0, index < bytes.count, bytes[index] & 0xc0 == 0x80 { index -= 1 }
        return index
    }
}
