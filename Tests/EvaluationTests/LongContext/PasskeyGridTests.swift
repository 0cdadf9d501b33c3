import TestSupport
import Testing
import Text

@testable import Evaluation

@Suite struct PasskeyGridTests {
    @Test func `a prompt is the original's, with garbage cut from its beginning on both sides`() {
        let prompt = PasskeyGrid.prompt(key: 7, characters: 30, depth: 0.4)
        #expect(
            prompt == """
                There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz you about the important information there.
                The grass is
                The pass key is 7. Remember it. 7 is the pass key.
                The grass is green
                What is the pass key? The pass key is
                """)
        // Repeats are joined by a space.
        #expect(PasskeyGrid.prompt(key: 7, characters: 100, depth: 1).contains("There and back again. The grass"))
        #expect(PasskeyGrid.prompt(key: 7, characters: 0, depth: 0.5).contains("there.\n\nThe pass key"))
    }

    @Test func `prompts have their length in tokens, and depths are the middles of equal parts`() throws {
        let grid = PasskeyGrid(lengths: [600, 320], depths: 4, trials: 3, seed: 1)
        let examples = try grid.examples(PromptEncoder(ByteTokenizer(), bosID: 256))
        #expect(examples.count == grid.count)
        #expect(Set(examples.map(\.id)).count == grid.count)
        for example in examples {
            #expect(example.tokens.first == 256)
            // A key of fewer digits than five leaves their bytes, twice, unused.
            let unused = 2 * (5 - example.references[0].utf8.count)
            #expect(example.tokens.count == (example.group.length ?? 0) - unused)
            let context = ByteTokenizer().decode(Array(example.tokens[..<example.contextTokens]))
            #expect(context + Array("What is the pass key? The pass key is".utf8) == Array(example.prompt.utf8))
            #expect(try example.score(" \(example.references[0]). Remember") == 1)
            #expect(try example.score("") == 0)
            #expect(example.prompt.contains("The pass key is \(example.references[0]). Remember it."))
        }
        #expect(Set(examples.compactMap(\.group.depth)) == [0.125, 0.375, 0.625, 0.875])
        #expect(examples.contains { $0.id == "passkey/320/0.875/2" })
        // The same keys again, and others for another seed.
        #expect(try grid.examples(PromptEncoder(ByteTokenizer(), bosID: nil)).map(\.references) == examples.map(\.references))
        var other = grid
        other.seed = 2
        #expect(try other.examples(PromptEncoder(ByteTokenizer(), bosID: 256)).map(\.references) != examples.map(\.references))
    }

    @Test func `each prompt shares at least its beginning up to its key with the one before it`() throws {
        let examples = try PasskeyGrid(lengths: [400, 500], depths: 5, trials: 2, seed: 3).examples(
            PromptEncoder(ByteTokenizer(), bosID: nil))
        for (before, after) in zip(examples, examples.dropFirst()) {
            let shared = zip(before.tokens, after.tokens).prefix { $0 == $1 }.count
            let key = "The pass key is \(after.references[0]). Rem"
            let place =
                after.prompt.utf8.count - (after.prompt.range(of: key).map { after.prompt[$0.lowerBound...].utf8.count } ?? 0)
            // The line break before the key is garbage, in longer prompts, or the same.
            #expect(shared >= place - 1)
        }
    }

    @Test func `a length too short for a prompt is refused`() throws {
        let grid = PasskeyGrid(lengths: [100], depths: 1, trials: 1, seed: 1)
        let error = #expect(throws: PasskeyLengthError.self) { try grid.examples(PromptEncoder(ByteTokenizer(), bosID: nil)) }
        #expect(
            try #require(error).description
                == "a length of 100 tokens is too short for a passkey prompt, which has at least 247 with this tokenizer")
    }

    @Test func `a book in place of the garbage goes on behind the key, and one too short is refused`() throws {
        let book = (0..<60).map { "Line \($0) of a book." }.joined(separator: "\n")
        let grid = PasskeyGrid(lengths: [600], depths: 2, trials: 1, seed: 1, filler: .text(book), files: ["book.txt"])
        let examples = try grid.examples(PromptEncoder(ByteTokenizer(), bosID: nil))
        for example in examples {
            let lines = example.prompt.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
            let key = try #require(lines.firstIndex { $0.hasPrefix("The pass key is") })
            let before = lines[1..<key].joined(separator: "\n")
            let behind = lines[(key + 1)..<(lines.count - 1)].joined(separator: "\n")
            #expect(book.hasPrefix(before + behind) && (590...600).contains(example.tokens.count))
        }
        var long = grid
        long.lengths = [3_000]
        let error = #expect(throws: NeedleGrid.Fault.self) { try long.examples(PromptEncoder(ByteTokenizer(), bosID: nil)) }
        #expect("\(try #require(error))".contains("the haystack gives prompts of at most"))
    }
}
