/// A compression of whole files.
public enum Compression: String, Sendable, CaseIterable {
    /// RFC 1952, one member or several.
    case gzip
    /// RFC 8878, one frame or several.
    case zstd

    /// The endings of compressed files' names.
    public var suffixes: [String] {
        switch self {
        case .gzip: [".gz"]
        case .zstd: [".zst", ".zstd"]
        }
    }

    /// The bytes that begin every file of this compression; none of them begins a UTF-8 text.
    var magic: [UInt8] {
        switch self {
        case .gzip: [0x1f, 0x8b]
        case .zstd: [0x28, 0xb5, 0x2f, 0xfd]
        }
    }

    /// The compression that a file's name states; nil where it states none.
    public init?(name: String) {
        let lowered = name.lowercased()
        guard let found = Self.allCases.first(where: { $0.suffixes.contains(where: lowered.hasSuffix) }) else { return nil }
        self = found
    }

    /// The compression of a file that begins with `bytes`; nil where it is none of these.
    init?(beginning bytes: some Collection<UInt8>) {
        guard let found = Self.allCases.first(where: { bytes.starts(with: $0.magic) }) else { return nil }
        self = found
    }

    /// `name` without the ending of a compression.
    public static func uncompressedName(_ name: String) -> String {
        let lowered = name.lowercased()
        let suffix = allCases.flatMap(\.suffixes).first(where: lowered.hasSuffix) ?? ""
        return String(name.dropLast(suffix.count))
    }

    /// A decoder at the start of a file.
    func decoder() -> any StreamDecoder {
        switch self {
        case .gzip: GzipDecoder()
        case .zstd: ZstdDecoder()
        }
    }
}

/// Decompresses a stream piece by piece.
protocol StreamDecoder: AnyObject, Sendable {
    /// Whether the input so far is a whole file.
    var isComplete: Bool { get }

    /// Decodes from `input` into `output` until one of them is used up, and returns the bytes used of each: none where more input is
    /// needed.
    func decode(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) throws(DecodingFault) -> (
        consumed: Int, produced: Int
    )
}

/// The reason why compressed bytes cannot be decoded.
struct DecodingFault: Error {
    /// In the library's words.
    var reason: String
}
