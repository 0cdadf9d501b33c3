import Random

/// A rule by which one of RULER's tasks makes a prompt around a haystack of any size.
protocol RULERRule: Sendable {
    /// The least units of haystack (lines, words or documents) in the prompt of a number.
    func least(_ number: Int) -> Int
    /// The units of haystack available; `Int.max` for no end.
    var most: Int { get }
    /// Prompts available, each with a number from 0; `Int.max` for no end.
    var prompts: Int { get }
    /// The prompt of a number with `size` units of haystack, of which the generator draws all that varies.
    func prompt(_ number: Int, size: Int, _ generator: inout SeededGenerator) -> RULERPrompt
}

extension RULERRule {
    var most: Int { .max }
    var prompts: Int { .max }
}

/// A prompt made by a ``RULERRule``.
struct RULERPrompt: Equatable {
    /// The text, which ends with the beginning of the answer.
    var text: String
    /// The outputs expected.
    var outputs: [String]
}

extension SeededGenerator {
    /// `count` different elements, in random order.
    mutating func sample<Elements: Collection>(_ elements: Elements, _ count: Int) -> [Elements.Element] {
        Array(elements.shuffled(using: &self).prefix(count))
    }

    /// A string of `count` letters, drawn one by one.
    mutating func letters(_ letters: [Character], _ count: Int) -> String {
        String((0..<count).map { _ in letters[Int.random(in: letters.indices, using: &self)] })
    }
}
