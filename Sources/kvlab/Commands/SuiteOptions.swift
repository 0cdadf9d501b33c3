import ArgumentParser

/// The models of a published suite's evaluation, and how much of it is run.
struct SuiteOptions: ParsableArguments {
    @Argument(help: "Checkpoints; the others are compared with the first.", completion: .file(extensions: ["h5"]))
    var models: [String]

    @Option(help: "Run the first so many records of each data file only.")
    var limit: Int?

    @Option(name: .customLong("max-new"), help: "Tokens generated at most, instead of the suite's own numbers.")
    var maxNew: Int?

    @OptionGroup var chat: ChatOptions

    func validate() throws { try Self.check(limit: limit, maxNew: maxNew) }

    /// Throws a sentence naming the first option whose value means nothing.
    static func check(limit: Int?, maxNew: Int?) throws {
        if let limit, limit < 1 { throw ValidationError("--limit is \(limit), expected at least 1") }
        if let maxNew, !(1...100_000).contains(maxNew) {
            throw ValidationError("--max-new is \(maxNew), expected 1 to 100000")
        }
    }
}

/// A list of names on the command line, such as hotpotqa,lcc.
enum NameList {
    /// The names of `text`; throws a sentence naming `option` for one that is not among `known`, or named twice.
    static func check(_ text: String, option: String, of kind: String, known: [String]) throws -> [String] {
        let names = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        if let unknown = names.first(where: { !known.contains($0) }) {
            throw ValidationError("\(option) has '\(unknown)'; the \(kind) are \(known.joined(separator: ", "))")
        }
        guard Set(names).count == names.count else { throw ValidationError("\(option) is '\(text)', which names one twice") }
        return names
    }
}
