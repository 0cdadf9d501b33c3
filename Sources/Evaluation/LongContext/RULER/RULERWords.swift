import Foundation
import Random

/// RULER's task `cwe` (`common_words_extraction.py`): a numbered list in which ten words come more often than the others, behind a short
/// example with its answer.
struct RULERCommonWords: RULERRule {
    /// Words that come often.
    private static let common = 10
    /// Lengths from which lists have the paper's numbers; shorter ones have fewer repetitions.
    private static let fullLength = 4096

    let texts: RULERPrompts
    /// Tokens of prompt and output.
    let length: Int

    func least(_ number: Int) -> Int { Self.common }

    var most: Int { EnglishWords.most }

    func prompt(_ number: Int, size: Int, _ generator: inout SeededGenerator) -> RULERPrompt {
        let isFull = length >= Self.fullLength
        let example = isFull ? list(40, 10, 3, &generator) : list(20, 3, 1, &generator)
        let asked = isFull ? list(size, 30, 3, &generator) : list(size, 6, 1, &generator)
        return RULERPrompt(text: text(example: example.words, answer: example.common, asked.words), outputs: asked.common)
    }

    /// A list of `count` different words, the first ten of them `often` times and the others `seldom`, in random order.
    private func list(
        _ count: Int, _ often: Int, _ seldom: Int, _ generator: inout SeededGenerator
    ) -> (words: [String], common: [String]) {
        let words = EnglishWords.sample(count, &generator)
        let common = Array(words.prefix(Self.common))
        let all = words.enumerated().flatMap { Array(repeating: $1, count: $0 < Self.common ? often : seldom) }
        return (all.shuffled(using: &generator), common)
    }

    /// The prompt for a list of `words` behind an example with its `answer`.
    func text(example: [String], answer: [String], _ words: [String]) -> String {
        func prompt(_ words: [String]) -> String {
            texts.prompt(.commonWords, ["context": Self.numbered(words), "num_cw": "\(Self.common)"])
        }
        return "\(prompt(example)) \(Self.numbered(answer))\n\(prompt(words))"
    }

    private static func numbered(_ words: [String]) -> String {
        words.enumerated().map { "\($0 + 1). \($1)" }.joined(separator: " ")
    }
}

/// RULER's task `fwe` (`freq_words_extraction.py`): words of six letters whose frequencies fall with the square of their rank; the second to
/// fourth are asked for, dots are in the first's place.
struct RULERFrequentWords: RULERRule {
    private static let wordLength = 6
    /// ζ(2), by which the frequencies k⁻² sum to 1.
    private static let zeta = Double.pi * Double.pi / 6
    private static let alphabet = (UInt8(ascii: "a")...UInt8(ascii: "z")).map { Character(Unicode.Scalar($0)) }

    let texts: RULERPrompts
    /// Tokens of the prompt, of which a word of the vocabulary takes 50.
    let promptTokens: Int

    func least(_ number: Int) -> Int { Self.leastSize }

    /// The words from which on the fourth rank comes more often than the fifth; among 74 or more their shares differ by a whole word.
    private static let leastSize =
        ((1...74).last { size in
            let counts = counts(size, ranks: 5)
            return counts[3] == counts[4]
        } ?? 0) + 1

    /// How often each rank comes among `size` words, rounded down.
    static func counts(_ size: Int, ranks: Int) -> [Int] {
        (1...ranks).map { Int(Double(size) * pow(Double($0), -2) / zeta) }
    }

    func prompt(_ number: Int, size: Int, _ generator: inout SeededGenerator) -> RULERPrompt {
        var (vocabulary, known) = (["..."], Set<String>())
        let ranks = max(5, promptTokens / 50)
        while vocabulary.count < ranks {
            let word = generator.letters(Self.alphabet, Self.wordLength)
            if known.insert(word).inserted { vocabulary.append(word) }
        }
        let words = zip(vocabulary, Self.counts(size, ranks: ranks)).flatMap { Array(repeating: $0, count: $1) }
        return RULERPrompt(text: text(words.shuffled(using: &generator)), outputs: Array(vocabulary[1...3]))
    }

    /// The prompt for a text of `words`.
    func text(_ words: [String]) -> String {
        texts.prompt(.frequentWords, ["context": words.joined(separator: " ")])
    }
}
