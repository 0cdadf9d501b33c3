import Random

/// RULER's task `vt` (`variable_tracking.py`): a chain of assignments between lines of noise, whose variables are asked for by their value.
///
/// An example with its answer comes first, of variables of three letters between as many lines as 500 tokens hold; its lines are the same in
/// all prompts, its names and value are drawn for each.
struct RULERVariables: RULERRule {
    /// Assignments of a chain behind its first.
    private static let hops = 4
    /// Tokens of the example, where they hold its fewest lines.
    private static let exampleTokens = 500
    private static let alphabet = (UInt8(ascii: "A")...UInt8(ascii: "Z")).map { Character(Unicode.Scalar($0)) }

    private let texts: RULERPrompts
    /// The example's lines of noise, and the lines that its assignments stand before.
    private let example: (noise: Int, places: [Int])

    /// The rule in the tokens of a model; `seed` draws the places of the example's lines.
    init(_ texts: RULERPrompts, _ encoder: PromptEncoder, seed: UInt64) {
        self.texts = texts
        func places(_ noise: Int) -> [Int] {
            var generator = SeededGenerator(seed: seed, name: "ruler/vt/example")
            return generator.sample(0..<noise, Self.hops + 1).sorted()
        }
        let names = (0...Self.hops).map { String(repeating: Self.alphabet[$0], count: 3) }
        let least = Self.hops + 1
        let more = NeedleGrid.most(Self.exampleTokens) { more in
            let text = Self.text(texts, least + more, places(least + more), names, value: "12345")
            return encoder.tokenizer.encode(text).count <= Self.exampleTokens
        }
        example = (least + more, places(least + more))
    }

    func least(_ number: Int) -> Int { Self.hops + 1 }

    func prompt(_ number: Int, size: Int, _ generator: inout SeededGenerator) -> RULERPrompt {
        func drawn(_ letters: Int, _ generator: inout SeededGenerator) -> (names: [String], value: String) {
            var names: [String] = []
            while names.count <= Self.hops {
                let name = generator.letters(Self.alphabet, letters)
                if !names.contains(name) { names.append(name) }
            }
            return (names, "\(Int.random(in: 10_000..<99_999, using: &generator))")
        }
        let (shown, asked) = (drawn(3, &generator), drawn(5, &generator))
        let places = generator.sample(0..<size, Self.hops + 1).sorted()
        let example = Self.text(texts, example.noise, example.places, shown.names, value: shown.value)
        return RULERPrompt(
            text: Self.joined(
                example, shown.names, Self.text(texts, size, places, asked.names, value: asked.value)), outputs: asked.names)
    }

    /// The prompt behind the example with its answer.
    static func joined(_ example: String, _ answer: [String], _ prompt: String) -> String {
        "\(example) \(answer.joined(separator: " "))\n\n\(prompt)"
    }

    /// The text of a chain between `noise` lines, its assignments before the lines of `places`, ascending.
    static func text(_ texts: RULERPrompts, _ noise: Int, _ places: [Int], _ names: [String], value: String) -> String {
        var lines = Array(repeating: PasskeyGrid.garbage, count: noise)
        for (index, place) in places.enumerated() {
            let assignment = index == 0 ? "VAR \(names[0]) = \(value)" : "VAR \(names[index]) = VAR \(names[index - 1]) "
            lines.insert(assignment, at: place + index)
        }
        return texts.prompt(
            .variables, ["context": lines.joined(separator: "\n"), "query": value, "num_v": "\(names.count)"])
    }
}
