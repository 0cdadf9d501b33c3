import ArgumentParser
import Text

extension TextFormat: ExpressibleByArgument {}

/// The format of a command's texts.
struct TextFormatOptions: ParsableArguments {
    @Option(
        help: """
            The texts' format, text or jsonl. Default: jsonl where a file is called .jsonl, .ndjson or .json (and .gz or .zst), else text.
            """)
    var textFormat: TextFormat?

    @Option(
        help: ArgumentHelp(
            "The key of the text in each line of JSON Lines. Default: \(TextFormat.defaultField).", valueName: "key"))
    var textField: String?

    func validate() throws {
        guard textField == nil || textFormat != .text else {
            throw ValidationError("--text-field names a key of JSON Lines, but --text-format is text")
        }
    }

    /// The text at `path`, read as the options say.
    func source(_ path: String) -> TextSource { TextSource(path: path, format: textFormat, field: textField) }

    /// The first option that was given.
    var given: String? { textFormat != nil ? "--text-format" : textField != nil ? "--text-field" : nil }
}
