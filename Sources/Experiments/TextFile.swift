import Files
import Foundation

/// Reads and writes whole UTF-8 files.
public enum TextFile {
    /// The text at `path`; throws that it is empty, or naming the first bad byte where it is not UTF-8.
    public static func read(_ path: String) throws -> String {
        let file = try MappedFile(path: path)
        guard file.count > 0 else { throw FileError.empty(path: path) }
        let bytes = try file.bytes(in: 0..<file.count)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ExperimentError.textNotUTF8(path, offset: bytes.firstInvalidUTF8 ?? 0)
        }
        return text
    }

    /// Replaces the contents of `path` by `text`, at once: a reader finds the old file or the whole new one.
    ///
    /// - Parameter links: whether a symbolic link at `path` is written through: where a user named it.
    public static func write(_ text: String, to path: String, links: SymbolicLinks = .refused) throws {
        try AtomicFile.write(Array(text.utf8), to: path, links: links)
    }

    /// The value in a JSON file of kvlab's own, such as a run folder's; nil where there is no ordinary file of at most 64 MiB with one.
    static func value<Value: Decodable>(_ type: Value.Type, at path: String) -> Value? {
        let bytes = try? RegularFile.contents(path, links: .refused, limit: 64 << 20)
        return bytes.flatMap { try? CanonicalJSON.value(type, from: Data($0)) }
    }

    /// Writes `value` as one line of JSON, numbers that are not finite spelled.
    static func writeLine(_ value: some Encodable, to path: String) throws {
        try write(try CanonicalJSON.text(of: value, nonFinite: .spelled) + "\n", to: path)
    }
}
