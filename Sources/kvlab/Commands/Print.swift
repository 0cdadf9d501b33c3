import Console
import Files

/// Prints lines for people as a result of the command. Swift's own `print`, which this hides, ignores what goes wrong.
func print(_ text: String, terminator: String = "\n") throws {
    try StandardOutput.write(text.printable + terminator)
}

/// Prints `value` as JSON with sorted keys: on one line, or over many for people to read too.
///
/// A number that JSON cannot say is a string: "inf", "-inf" or "nan".
func printJSON(_ value: some Encodable, pretty: Bool = false) throws {
    try StandardOutput.write(try CanonicalJSON.text(of: value, pretty: pretty, nonFinite: .spelled) + "\n")
}

/// Says something beside the results, on standard error.
func note(_ text: String) { StandardError.line(text) }
