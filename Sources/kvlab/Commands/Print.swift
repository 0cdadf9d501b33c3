import Console
import Foundation

/// Prints lines for people as a result of the command. Swift's own `print`, which this hides, ignores what goes wrong.
func print(_ text: String, terminator: String = "\n") throws {
    try StandardOutput.write(text.printable + terminator)
}

/// Prints `value` as JSON with sorted keys: on one line, or over many for people to read too.
///
/// A number that JSON cannot say is a string: "inf", "-inf" or "nan".
func printJSON(_ value: some Encodable, pretty: Bool = false) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    if pretty { encoder.outputFormatting.insert(.prettyPrinted) }
    encoder.nonConformingFloatEncodingStrategy = .convertToString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    try StandardOutput.write([UInt8](try encoder.encode(value)) + [10])
}

/// Says something beside the results, on standard error.
func note(_ text: String) { StandardError.line(text) }
