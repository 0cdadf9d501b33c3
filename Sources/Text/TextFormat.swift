import Files
import JSON

/// The format of a text file, whether it is compressed or not.
public enum TextFormat: String, Sendable, Codable, CaseIterable {
    /// UTF-8 text.
    case text
    /// JSON Lines: an object a line, a document each.
    case jsonl

    /// The member that is read where none is named.
    public static let defaultField = "text"
    /// The member with a chat's messages, which is read where none is named and there is no text.
    public static let chatField = "messages"

    /// The format that a file's name states, the ending of a compression aside: `.jsonl`, `.ndjson` and `.json` are JSON Lines, all
    /// others text.
    public init(name: String) {
        let name = Compression.uncompressedName(name).lowercased()
        self = [".jsonl", ".ndjson", ".json"].contains(where: name.hasSuffix) ? .jsonl : .text
    }

    /// Bytes that a file is known by: enough for some lines.
    private static let sniffedBytes = 1 << 20

    /// The format of the file in `stream`, which is left where it is.
    ///
    /// Throws ``TextError/foreignFormat(path:format:conversion:)`` for the formats that others read, and
    /// ``TextError/jsonAsText(path:)`` for JSON Lines under a name of plain text; a stated `format` is taken at its word.
    init(_ stream: ByteStream, stated format: TextFormat?) throws {
        let beginning = try stream.peek(Self.sniffedBytes)
        if let foreign = ForeignFormat.all.first(where: { $0.matches(stream.path, beginning) }) {
            throw TextError.foreignFormat(
                path: stream.path, format: foreign.name, conversion: foreign.conversion(stream.path))
        }
        self = format ?? TextFormat(name: stream.path)
        if format == nil, self == .text, Self.isJSONLines(beginning) { throw TextError.jsonAsText(path: stream.path) }
    }

    /// Whether the first lines of a text, at most three that are not blank, are JSON objects.
    static func isJSONLines(_ beginning: [UInt8]) -> Bool {
        guard beginning.first(where: { !isSpace($0) }) == UInt8(ascii: "{") else { return false }
        var lines = beginning.split(separator: UInt8(ascii: "\n"), maxSplits: 64)
        // The last piece may be the beginning of a line, or what is left of them.
        if lines.count > 64 || beginning.count >= sniffedBytes { lines.removeLast() }
        let objects = lines.filter { !$0.allSatisfy(isSpace) }.prefix(3)
        // A line longer than what is looked at.
        guard !objects.isEmpty else { return beginning.prefix(64).filter { !isSpace($0) }.starts(with: Array("{\"".utf8)) }
        return objects.allSatisfy { (try? JSONValue(parsing: Array($0)))?.members != nil }
    }

    /// Whether a byte is white space in ASCII.
    static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }
}

/// A format of texts or archives that is not read, and the command that makes one of it that is.
private struct ForeignFormat {
    var name: String
    var suffix: String
    var magic: [UInt8]
    /// The command, with `@` for the path.
    var command: String

    static let all = [
        ForeignFormat(
            name: "Parquet", suffix: ".parquet", magic: Array("PAR1".utf8),
            command: #"python3 -c 'import pandas; pandas.read_parquet("@").to_json("@.jsonl", orient="records", lines=True)'"#),
        ForeignFormat(
            name: "Arrow", suffix: ".arrow", magic: Array("ARROW1".utf8),
            command: #"python3 -c 'import pandas; pandas.read_feather("@").to_json("@.jsonl", orient="records", lines=True)'"#),
        ForeignFormat(
            name: "bzip2", suffix: ".bz2", magic: [0x31, 0x41, 0x59, 0x26, 0x53, 0x59], command: "bunzip2 --keep '@'"),
        ForeignFormat(name: "xz", suffix: ".xz", magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], command: "unxz --keep '@'"),
        ForeignFormat(name: "zip", suffix: ".zip", magic: [0x50, 0x4b, 3, 4], command: "unzip '@'"),
    ]

    func matches(_ path: String, _ beginning: [UInt8]) -> Bool {
        // bzip2's magic stands behind "BZh" and a digit, which a text may begin with.
        let place = name == "bzip2" ? beginning.dropFirst(4) : beginning[...]
        return path.lowercased().hasSuffix(suffix) || place.starts(with: magic)
    }

    func conversion(_ path: String) -> String { command.replacing("@", with: path) }
}
