import Files
import Glibc
import JSON

/// Opens tokenizers of any format, which is detected from the content.
public enum TokenizerFile {
    /// The largest file accepted; the largest known tokenizers are under 40 MB.
    private static let maximumBytes = 256 << 20

    /// Reads a `tokenizer.json`, a SentencePiece `tokenizer.model` or a llama2.c `tokenizer.bin`.
    ///
    /// BOS and EOS may come from a `tokenizer_config.json` beside a `tokenizer.json`.
    public static func load(_ path: String) throws -> any Tokenizer {
        try parse(try read(path), file: path) {
            try configuration(path).map { try TokenizerJSON.parse(try read($0), file: $0) }
        }
    }

    /// The `tokenizer_config.json` beside the tokenizer at `path`; nil where there is none.
    public static func configuration(_ path: String) -> String? {
        let folder = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        let beside = (path.contains("/") ? folder + "/" : "") + "tokenizer_config.json"
        return unsafe access(beside, F_OK) == 0 ? beside : nil
    }

    /// The serialized form of the tokenizer in the file at `path`.
    public static func serialized(_ path: String) throws -> SerializedTokenizer { try serialized(try read(path), file: path) }

    /// The serialized form of the tokenizer whose file has `bytes`; `file` names it in errors.
    ///
    /// A SentencePiece model is converted to a `tokenizer.json`, the others are stored unchanged. A `tokenizer.json` need only be
    /// valid JSON: unsupported features are errors only when it is used.
    public static func serialized(_ bytes: [UInt8], file: String) throws -> SerializedTokenizer {
        if isJSON(bytes, file: file) {
            _ = try TokenizerJSON.parse(bytes, file: file)
            return SerializedTokenizer(kind: "tokenizer.json", bytes: bytes)
        }
        if SentencePieceModel.isOne(bytes) { return try SentencePieceModel.serialized(bytes, file: file) }
        guard isLlama2c(bytes) else { throw TextError.unknownTokenizer(file: file) }
        _ = try Llama2cTokenizer.read(bytes, file: file)
        return SerializedTokenizer(kind: "llama2.c", bytes: bytes)
    }

    /// Whether the file is JSON, or is meant to be.
    private static func isJSON(_ bytes: [UInt8], file: String) -> Bool {
        bytes.first { ![0x20, 0x0a, 0x0d, 0x09].contains($0) } == UInt8(ascii: "{") || file.hasSuffix(".json")
    }

    /// Whether the file may be llama2.c's, which starts with a small number and has no magic number.
    private static func isLlama2c(_ bytes: [UInt8]) -> Bool { bytes.count > 12 && bytes[2] == 0 && bytes[3] == 0 }

    /// Loads a tokenizer from ``Tokenizer/serialized``; `name` names it in errors.
    public static func load(_ serialized: SerializedTokenizer, name: String = "tokenizer") throws -> any Tokenizer {
        switch serialized.kind {
        case "byte": return ByteTokenizer()
        case "tokenizer.json": return try read(serialized.bytes, file: name)
        case "llama2.c": return try Llama2cTokenizer(serialized.bytes, file: name)
        default:
            throw TextError.unsupportedTokenizer(
                file: name, feature: "kind '\(serialized.kind)'", reason: "byte, tokenizer.json and llama2.c are known")
        }
    }

    private static func read(_ path: String) throws -> [UInt8] {
        let file = try MappedFile(path: path)
        guard file.count > 0 else { throw FileError.empty(path: path) }
        guard file.count <= maximumBytes else { throw TextError.unknownTokenizer(file: path) }
        return try file.bytes(in: 0..<file.count)
    }

    private static func parse(_ bytes: [UInt8], file: String, config: () throws -> JSONValue?) throws -> any Tokenizer {
        if isJSON(bytes, file: file) {
            return try read(bytes, file: file, config: try config())
        }
        if SentencePieceModel.isOne(bytes) { return try load(SentencePieceModel.serialized(bytes, file: file), name: file) }
        guard isLlama2c(bytes) else { throw TextError.unknownTokenizer(file: file) }
        return try Llama2cTokenizer(bytes, file: file)
    }

    private static func read(_ bytes: [UInt8], file: String, config: JSONValue? = nil) throws -> any Tokenizer {
        let json = try TokenizerJSON(bytes, file: file, config: config)
        switch json.style {
        case .byteLevel(let stages): return try BPETokenizer(json, stages: stages)
        case .sentencePiece(let metaspace, let decoder):
            return try SentencePieceTokenizer(json, metaspace: metaspace, decoder: decoder)
        }
    }
}
