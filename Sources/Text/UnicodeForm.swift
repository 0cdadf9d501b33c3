import Foundation

/// One of Unicode's normal forms (UAX #15).
enum UnicodeForm: String, Sendable {
    case nfc = "NFC"
    case nfd = "NFD"
    case nfkc = "NFKC"
    case nfkd = "NFKD"

    /// `text`, valid UTF-8, in this form.
    ///
    /// Characters newer than Unicode 9 are unchanged, as in `tokenizers`, whose tables have that version: ids would differ
    /// otherwise. Only ranges with characters that might change go through Foundation; most text has none.
    func apply(_ text: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        var index = 0
        var copied = 0
        // The character before, which a following mark may combine with.
        var previous = 0
        while index < text.count {
            let (scalar, length) = UTF8Scalar.decode(text.span, at: index)
            if isInert(scalar) {
                previous = index
                index += length
                continue
            }
            if Self.isLater(scalar) {
                index += length
                previous = index
                continue
            }
            var end = index + length
            while end < text.count {
                let (next, width) = UTF8Scalar.decode(text.span, at: end)
                if isInert(next) || Self.isLater(next) { break }
                end += width
            }
            let start = max(previous, copied)
            if result.isEmpty { result.reserveCapacity(text.count + 64) }
            result += text[copied..<start]
            result += normalized(String(decoding: text[start..<end], as: UTF8.self)).utf8
            copied = end
            previous = end
            index = end
        }
        if copied == 0 { return text }
        result += text[copied...]
        return result
    }

    private func normalized(_ text: String) -> String {
        switch self {
        case .nfc: text.precomposedStringWithCanonicalMapping
        case .nfd: text.decomposedStringWithCanonicalMapping
        case .nfkc: text.precomposedStringWithCompatibilityMapping
        case .nfkd: text.decomposedStringWithCompatibilityMapping
        }
    }

    /// Whether a character is newer than the tables of `tokenizers`.
    static func isLater(_ scalar: UInt32) -> Bool {
        guard let age = Unicode.Scalar(scalar)?.properties.age else { return true }
        return age.major > 9
    }

    /// Whether a combining mark is one in `tokenizers` too: two have been letters since Unicode 12.
    static func isMark(_ scalar: UInt32) -> Bool {
        scalar == 0x1cf2 || scalar == 0x1cf3 || ScalarClass.of(scalar) == ScalarClass.mark && !isLater(scalar)
    }

    /// Whether a character is unchanged in this form and combines with none before it; false where in doubt.
    @inline(__always)
    private func isInert(_ scalar: UInt32) -> Bool {
        if scalar < 0x80 { return true }
        switch scalar {
        case 0x4e00...0x9fff, 0x3400...0x4dbf, 0x3041...0x304a: return true
        case 0x80...0x2ff: return self == .nfc
        case 0x391...0x3a1, 0x3b1...0x3c9, 0x410...0x418, 0x41a...0x438, 0x43a...0x44f: return true
        case 0x2010, 0x2012...0x2016, 0x2018...0x2023: return true
        case 0x304b...0x3096, 0x30a1...0x30fa, 0xac00...0xd7a3: return self == .nfc || self == .nfkc
        case 0x1f300...0x1f64f, 0x1f680...0x1f6ff, 0x1f900...0x1faff: return true
        default: return false
        }
    }
}
