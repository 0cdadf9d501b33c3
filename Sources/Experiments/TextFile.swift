import Files

/// Reads and writes whole UTF-8 files.
public enum TextFile {
    /// The text at `path`; throws that it is empty, or naming the first bad byte where it is not UTF-8.
    ///
    /// With `replacingInvalid` bytes that are not UTF-8 become U+FFFD, as many as Python's `errors="replace"` gives.
    public static func read(_ path: String, replacingInvalid: Bool = false) throws -> String {
        let file = try MappedFile(path: path)
        guard file.count > 0 else { throw FileError.empty(path: path) }
        let bytes = try file.bytes(in: 0..<file.count)
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        if replacingInvalid { return String(decoding: bytes, as: UTF8.self) }
        throw ExperimentError.textNotUTF8(path, offset: firstInvalidByte(bytes))
    }

    /// Writes `text` so that `path` holds what was there before or all of it.
    public static func write(_ text: String, to path: String) throws {
        var file = try AtomicFile(path: path)
        try file.append(Array(text.utf8))
        try file.commit()
    }

    private static func firstInvalidByte(_ bytes: [UInt8]) -> Int {
        var low = 0
        var decoder = UTF8()
        var iterator = bytes.makeIterator()
        while true {
            switch decoder.decode(&iterator) {
            case .scalarValue(let scalar): low += UTF8.width(scalar)
            case .emptyInput, .error: return low
            }
        }
    }
}
