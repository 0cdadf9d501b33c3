import ArgumentParser
import Console
import Experiments
import JSON

/// The results as JSON, for scripts on one line or for people over several.
struct JSONOptions: ParsableArguments {
    @Flag(help: "Print JSON: a line, or one for each result where there are several.")
    var json = false

    @Flag(help: "Print JSON indented over several lines.")
    var pretty = false

    /// Whether results are wanted as JSON.
    var isJSON: Bool { json || pretty }

    /// Prints a result.
    func print(_ value: some Encodable) throws { try printJSON(value, pretty: pretty) }

    /// Prints a result with its keys in their order.
    func print(_ value: JSONValue) throws { try StandardOutput.write((pretty ? value.indented : value.text) + "\n") }

    /// Prints a table in full.
    func print(_ table: any ResultTable) throws {
        guard !pretty else { return try StandardOutput.write(table.json + "\n") }
        try StandardOutput.write(String(decoding: JSONValue(parsing: Array(table.json.utf8)).compact, as: UTF8.self) + "\n")
    }
}
