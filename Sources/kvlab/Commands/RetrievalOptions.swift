import ArgumentParser

/// The models and the grid of a retrieval evaluation: lengths, depths and trials.
struct RetrievalOptions: ParsableArguments {
    @Argument(help: "Checkpoints; the others are compared with the first.", completion: .file(extensions: ["h5"]))
    var models: [String]

    @Option(help: "Prompt lengths in tokens, such as 512,1024, which is the default; 1024,2048 for needle.")
    var lengths: String?

    @Option(
        help: """
            Depths of the fact: for passkey the middles of so many equal parts, for needle evenly from the text's beginning to its end.
            """)
    var depths = 10

    @Option(
        help: """
            Prompts at each length and depth; by default 5, and 1 for needle. 10 of 10 right means 72 to 100 %: use 50 a length to call two \
            caches different.
            """)
    var trials: Int?

    @Option(help: "Seed of the facts, which are the same for all models and caches.")
    var seed: UInt64 = 1

    @Option(name: .customLong("max-new"), help: "Tokens generated at most; by default 10, and 24 for needle.")
    var maxNew: Int?

    func validate() throws {
        if let lengths { try LengthList.check(lengths) }
        for (name, value, most) in [
            ("--depths", depths, 1000), ("--trials", trials ?? 1, 100_000), ("--max-new", maxNew ?? 1, 1000),
        ]
        where !(1...most).contains(value) {
            throw ValidationError("\(name) is \(value), expected 1 to \(most)")
        }
    }
}
