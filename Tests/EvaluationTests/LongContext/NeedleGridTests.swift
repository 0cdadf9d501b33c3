import TestSupport
import Testing
import Text

@testable import Evaluation

@Suite struct NeedleGridTests {
    private static let haystack = (0..<200).map { "Sentence \($0) has a few words. \($0 % 7 == 0 ? "Is it? “Yes!” " : "")" }
        .joined()

    @Test func `sentences end at marks before white space, with quotation marks and brackets behind them`() {
        let text = "A b. 3.5 “C!” (D?) e.g\nF."
        let ends = NeedleGrid.sentenceEnds(Array(text.unicodeScalars))
        #expect(ends.map { String(text.unicodeScalars.prefix($0)) } == ["A b.", "A b. 3.5 “C!”", "A b. 3.5 “C!” (D?)", text])
    }

    @Test func `the needle stands behind the sentence that ends at or before its depth`() {
        let ends = [10, 20, 35]
        #expect(NeedleGrid.place(0, end: 35, ends[...]) == 0)
        #expect(NeedleGrid.place(0.5, end: 35, ends[...]) == 10)
        #expect(NeedleGrid.place(0.6, end: 35, ends[...]) == 20)
        #expect(NeedleGrid.place(1, end: 35, ends[...]) == 35)
    }

    @Test func `prompts have at most their length, whole sentences and one needle`() throws {
        let grid = NeedleGrid(haystack: Self.haystack, lengths: [800, 1200], depths: 3, trials: 2, seed: 1)
        let examples = try grid.examples(PromptEncoder(ByteTokenizer(), bosID: 256))
        #expect(examples.count == grid.count && Set(examples.map(\.id)).count == grid.count)
        for example in examples {
            let length = example.group.length ?? 0
            #expect(example.tokens.count <= length && example.tokens.count > length - 100)
            let parts = example.prompt.split(separator: example.references[1], omittingEmptySubsequences: false)
            #expect(parts.count == 2)
            #expect(example.references[1].contains("is \(example.references[0])."))
            let depth = example.group.depth ?? 0
            #expect(depth > 0 || parts[0].isEmpty)
            #expect(depth < 1 || parts[1].hasPrefix("\n\nWhat is the special magic number of the "))
            #expect(parts[0].isEmpty || [". ", "? ", "” "].contains { parts[0].hasSuffix($0) })
            #expect(ByteTokenizer().decode(Array(example.tokens[example.contextTokens...])).starts(with: "What is the".utf8))
            #expect(try example.score(" \(example.references[0]), I think") == 1)
            #expect(try example.score("1" + example.references[0]) == 0)
        }
        #expect(Set(examples.compactMap(\.group.depth)) == [0, 0.5, 1])
        #expect(examples.first?.group == ExampleGroup(length: 1200, depth: 1))
    }

    @Test func `several needles tell of different things, and the one at the depth is asked for`() throws {
        let grid = NeedleGrid(haystack: Self.haystack, lengths: [1200], depths: 3, trials: 4, seed: 1, keys: 4)
        let single = NeedleGrid(haystack: Self.haystack, lengths: [1200], depths: 3, trials: 4, seed: 1)
        let encoder = PromptEncoder(ByteTokenizer(), bosID: nil)
        let examples = try grid.examples(encoder)
        #expect(grid.options["keys"] == "4" && single.options["keys"] == nil)
        for example in examples {
            let context = try #require(example.prompt.split(separator: "\n\n").first)
            let needles = context.matches(of: /The special magic number of the ([a-z]+) is ([0-9]{7})\./)
            #expect(Set(needles.map(\.output.1)).count == 4 && Set(needles.map(\.output.2)).count == 4)
            let asked = try #require(
                needles.first { example.prompt.contains("What is the special magic number of the \($0.output.1)?") })
            #expect(example.references[0] == asked.output.2)
            if example.group.depth == 1 { #expect(asked.range.upperBound == context.endIndex) }
        }
        // The one asked for does not depend on the others.
        let answers = Dictionary(uniqueKeysWithValues: examples.map { ($0.id, $0.references) })
        #expect(try single.examples(encoder).allSatisfy { answers[$0.id] == $0.references })
    }

    @Test func `an output with all words of the answer is right, whatever their order and case`() throws {
        let needle = NeedleGrid.Needle(
            text: "Eat a sandwich in Dolores Park.", question: "What to do?", answer: "sandwich, Dolores Park")
        let grid = NeedleGrid(haystack: Self.haystack, lengths: [400], depths: 1, trials: 1, seed: 1, needle: needle)
        let example = try #require(try grid.examples(PromptEncoder(ByteTokenizer(), bosID: nil)).first)
        #expect(example.group.depth == 0.5 && example.prompt.hasSuffix("\n\nWhat to do?"))
        let scores = try example.scores("In DOLORES park, a Sandwich")
        // "eat" alone of the needle's six words is absent.
        #expect(scores == ["accuracy": 1, "rouge1Recall": 5.0 / 6])
        #expect(try example.score("a sandwich in the parks") == 0)
    }

    @Test func `a haystack that is too short, and a length that is, are named`() throws {
        func fault(_ length: Int) throws -> String {
            let grid = NeedleGrid(haystack: "One. Two.", lengths: [length], depths: 1, trials: 1, seed: 1)
            let error = #expect(throws: NeedleGrid.Fault.self) { try grid.examples(PromptEncoder(ByteTokenizer(), bosID: nil)) }
            return try #require(error).description
        }
        #expect(try fault(20).contains("a length of 20 tokens is too short for the needle and its question, which have "))
        #expect(try fault(4000).hasSuffix("--lengths has 4000; name more with --haystack"))
    }

    @Test func `a chat template's tokens count as part of a length, and its stops end outputs`() throws {
        let chat = ChatWriter(stops: ["<end>"]) { "<user>\($0[0].content)<assistant>" }
        let encoder = PromptEncoder(ByteTokenizer(), bosID: 256, chat: chat)
        let grids: [(any GenerationTask, String)] = [
            (NeedleGrid(haystack: Self.haystack, lengths: [800], depths: 2, trials: 1, seed: 1), "special magic number of the"),
            (PasskeyGrid(lengths: [800], depths: 2, trials: 1, seed: 1), "What is the pass key?"),
        ]
        for (grid, question) in grids {
            for example in try grid.examples(encoder) {
                #expect((740...800).contains(example.tokens.count) && example.stops == ["<end>"])
                #expect(example.prompt.hasPrefix("<user>") && example.prompt.hasSuffix(" is<assistant>"))
                let behind = ByteTokenizer().decode(Array(example.tokens[example.contextTokens...]))
                #expect(String(decoding: behind, as: UTF8.self).hasPrefix("What is the "))
                #expect(String(decoding: behind, as: UTF8.self).contains(question))
            }
        }
    }
}
