/// A fault in texts, tokenizers or token streams, as facts; `description` puts them into words.
public enum TextError: Error, CustomStringConvertible, Equatable {
    /// The bytes at `offset` of `path` are not UTF-8.
    case invalidUTF8(path: String, offset: Int)
    /// The text file has no bytes.
    case emptyText(path: String)
    /// The text file was written to after it was opened.
    case changed(path: String)
    /// No text file was named.
    case noFiles
    /// Only white space is left after cutting at the separator.
    case noDocuments(path: String)
    /// The folder has no files.
    case emptyFolder(path: String)
    /// No file matches the pattern.
    case noMatch(pattern: String)
    /// A pattern with `**`, which the shell's own patterns don't have.
    case recursivePattern(String)
    /// The file is in a format that others read.
    case foreignFormat(path: String, format: String, conversion: String)
    /// JSON Lines under a name of plain text.
    case jsonAsText(path: String)
    /// A line of JSON Lines has no text.
    case badLine(file: String, line: Int, reason: String)
    /// No line of the file has any text.
    case noLines(path: String)
    /// A member of JSON is named for a text that has none.
    case fieldOfText(path: String, field: String)
    /// A separator of documents where every document is a line.
    case separatorOfLines
    /// One side of a train/validation split is empty.
    case emptySplit(side: String, documents: Int, bytes: Int, fraction: Double)
    /// A validation fraction outside 0 ..< 1.
    case invalidFraction(Double)
    /// The file is not JSON; with the place and the fault.
    case malformedJSON(file: String, line: Int, column: Int, reason: String)
    /// A tokenizer file is inconsistent or violates its format.
    case malformedTokenizer(file: String, reason: String)
    /// A tokenizer file needs an unsupported feature.
    case unsupportedTokenizer(file: String, feature: String, reason: String)
    /// The content is in none of the known tokenizer formats.
    case unknownTokenizer(file: String)
    /// A vocabulary smaller than its fixed part.
    case vocabularyTooSmall(requested: Int, minimum: Int)
    /// An invalid special token.
    case invalidSpecialToken(String, reason: String)
    /// A token cache with a right digest and invalid content.
    case invalidTokenCache(path: String, reason: String)
    /// A token stream shorter than one window.
    case tooFewTokens(have: Int, seq: Int)

    public var description: String {
        switch self {
        case .invalidUTF8(let path, let offset):
            "\(path): not UTF-8: invalid byte at offset \(offset); convert the file, for example with iconv -t utf-8"
        case .emptyText(let path):
            "\(path): the file is empty (invalid at byte offset 0: a text of at least one byte is expected)"
        case .changed(let path):
            "\(path): the file was changed while it was in use; start again, and replace a text in use by renaming a new file over it"
        case .noFiles:
            "no text file is named; name at least one UTF-8 file"
        case .noDocuments(let path):
            "\(path): nothing but separators and white space; check the separator"
        case .emptyFolder(let path):
            "\(path): a folder without files; put text files into it, or name others"
        case .noMatch(let pattern):
            "\(pattern): no file matches the pattern"
        case .recursivePattern(let pattern):
            "\(pattern): '**' is no part of a pattern; name the folder, which is read with all folders in it"
        case .foreignFormat(let path, let format, let conversion):
            "\(path): \(format) files are not read; convert it: \(conversion)"
        case .jsonAsText(let path):
            "\(path): its first lines are JSON objects, which would be learnt with their braces and keys; call the file .jsonl or "
                + "state its format, \"format\": \"jsonl\" in a recipe or --text-format jsonl (text to take it as it is)"
        case .badLine(let file, let line, let reason):
            "\(file):\(line): the line \(reason)"
        case .noLines(let path):
            "\(path): no line has any text"
        case .fieldOfText(let path, let field):
            "\(path): the field '\(field)' is that of JSON Lines, but this is plain text; leave it out or state the format jsonl"
        case .separatorOfLines:
            "a separator cuts plain text, but all texts are JSON Lines, where each line is a document; leave it out"
        case .emptySplit(let side, let documents, let bytes, let fraction):
            "a validation fraction of \(fraction) leaves no \(side) text of \(documents) documents, \(bytes) bytes; "
                + "change the fraction, or split by position"
        case .invalidFraction(let fraction):
            "the validation fraction is \(fraction), expected at least 0 and less than 1"
        case .malformedJSON(let file, let line, let column, let reason):
            "\(file):\(line):\(column): not valid JSON: \(reason)"
        case .malformedTokenizer(let file, let reason):
            "\(file): damaged tokenizer: \(reason)"
        case .unsupportedTokenizer(let file, let feature, let reason):
            "\(file): \(feature) is not supported: \(reason)"
        case .unknownTokenizer(let file):
            "\(file): neither a tokenizer.json, a SentencePiece tokenizer.model nor a llama2.c tokenizer.bin; name a file of one of these formats"
        case .vocabularyTooSmall(let requested, let minimum):
            "a vocabulary of \(requested) is too small: 256 bytes and the special tokens take \(minimum)"
        case .invalidSpecialToken(let token, let reason):
            "special token '\(token)': \(reason)"
        case .invalidTokenCache(let path, let reason):
            "\(path): not a token cache that kvlab wrote: \(reason); remove the file, and the text is encoded again"
        case .tooFewTokens(let have, let seq):
            "the text has \(have) tokens, fewer than one window of \(seq + 1) (seq \(seq) and the next token); "
                + "use more text or a shorter seq"
        }
    }
}
