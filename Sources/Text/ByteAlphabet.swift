/// GPT-2's byte alphabet: every byte as a visible character, so that a vocabulary of byte strings fits in JSON.
///
/// The 188 bytes that Latin-1 prints stand for themselves; the others, in order, for U+0100 and up: a space is "Ġ".
enum ByteAlphabet {
    /// The scalar of each byte.
    static let scalars: [UInt32] = {
        var scalars = [UInt32](repeating: 0, count: 256)
        var next: UInt32 = 256
        for byte in 0..<256 {
            if isPrinted(byte) {
                scalars[byte] = UInt32(byte)
            } else {
                scalars[byte] = next
                next += 1
            }
        }
        return scalars
    }()

    /// All bytes by ascending scalar, which is the order of their ids.
    static let bytesInOrder: [UInt8] = (0...255).sorted { scalars[Int($0)] < scalars[Int($1)] }

    /// The byte of each scalar below 324; -1 for a scalar outside the alphabet.
    private static let bytes: [Int16] = {
        var bytes = [Int16](repeating: -1, count: 324)
        for byte in 0..<256 { bytes[Int(scalars[byte])] = Int16(byte) }
        return bytes
    }()

    /// Decodes `text`, UTF-8 characters of the alphabet, to bytes; nil where a character is outside the alphabet.
    static func decode(_ text: [UInt8]) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            guard scalar.value < 324, bytes[Int(scalar.value)] >= 0 else { return nil }
            result.append(UInt8(bytes[Int(scalar.value)]))
        }
        return result
    }

    /// Encodes `bytes` as characters of the alphabet, in UTF-8.
    static func encode(_ bytes: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        for byte in bytes {
            let scalar = scalars[Int(byte)]
            if scalar < 0x80 {
                result.append(UInt8(scalar))
            } else {
                result.append(UInt8(0xc0 | scalar >> 6))
                result.append(UInt8(0x80 | scalar & 0x3f))
            }
        }
        return result
    }

    private static func isPrinted(_ byte: Int) -> Bool {
        (0x21...0x7e).contains(byte) || (0xa1...0xac).contains(byte) || (0xae...0xff).contains(byte)
    }
}
