/// Validates UTF-8 (The Unicode Standard, table 3-7: no surrogates, no overlong forms).
enum UTF8Check {
    /// The offset of the first invalid sequence; nil where all of `bytes` is UTF-8.
    static func firstInvalid(in bytes: Span<UInt8>) -> Int? {
        var index = 0
        while index < bytes.count {
            if bytes[index] < 0x80 {
                index += 1
                continue
            }
            let length = sequenceLength(bytes, at: index)
            if length == 0 { return index }
            index += length
        }
        return nil
    }

    /// The length of the valid sequence of two to four bytes at `index`; 0 where there is none.
    private static func sequenceLength(_ bytes: Span<UInt8>, at index: Int) -> Int {
        let lead = bytes[index]
        let length: Int
        var second: ClosedRange<UInt8> = 0x80...0xbf
        switch lead {
        case 0xc2...0xdf: length = 2
        case 0xe0: (length, second) = (3, 0xa0...0xbf)
        case 0xed: (length, second) = (3, 0x80...0x9f)
        case 0xe1...0xef: length = 3
        case 0xf0: (length, second) = (4, 0x90...0xbf)
        case 0xf1...0xf3: length = 4
        case 0xf4: (length, second) = (4, 0x80...0x8f)
        default: return 0
        }
        guard index + length <= bytes.count, second.contains(bytes[index + 1]) else { return 0 }
        for offset in 2..<max(length, 2) where bytes[index + offset] & 0xc0 != 0x80 { return 0 }
        return length
    }

    /// The last character boundary at or before `index`.
    static func boundary(in bytes: Span<UInt8>, atOrBefore index: Int) -> Int {
        var index = min(index, bytes.count)
        while index > 0, index < bytes.count, bytes[index] & 0xc0 == 0x80 { index -= 1 }
        return index
    }
}
