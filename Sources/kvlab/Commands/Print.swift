import Console
import Files

/// Prints lines of text as the command's result. Swift's own `print`, which this hides, ignores write errors.
func print(_ text: String, terminator: String = "\n") throws {
    try StandardOutput.write(text.printable + terminator)
}

/// Prints `value` as JSON with sorted keys, on one line or indented.
///
/// Non-finite numbers are strings: "inf", "-inf" or "nan".
func printJSON(_ value: some Encodable, pretty: Bool = false) throws {
    try StandardOutput.write(try CanonicalJSON.text(of: value, pretty: pretty, nonFinite: .spelled) + "\n")
}

/// The failure of a command, with the sentence for the user.
struct CommandFailure: Error, CustomStringConvertible { var description: String }

/// Writes a note to standard error, beside the results.
func note(_ text: String) { StandardError.line(text) }
