import TestSupport
import Testing
import Text

@testable import Evaluation

@Suite struct RecallDocumentsTests {
    private static let haystack = (0..<120).map { "Chapter \($0) tells of a ship that sailed for \($0 * 3) days." }.joined(
        separator: "\n")

    @Test func `a document depends on seed, stage and number alone, and is as long as its stage has it`() throws {
        let recall = try RecallDocuments(haystack: Self.haystack, seed: 1)
        for stage in 1...RecallDocuments.stages.count {
            let documents = (0..<200).map { recall.document(stage: stage, number: $0) }
            #expect(documents[7] == (try RecallDocuments(haystack: Self.haystack, seed: 1)).document(stage: stage, number: 7))
            #expect(Set(documents).count > 190)
            #expect((try RecallDocuments(haystack: Self.haystack, seed: 2)).document(stage: stage, number: 7) != documents[7])
            let mean = documents.reduce(0) { $0 + $1.count } / documents.count
            let aim = RecallDocuments.stages[stage - 1].characters
            #expect((aim.lowerBound / 2...aim.upperBound * 3 / 2).contains(mean), "stage \(stage): \(mean)")
        }
    }

    @Test func `prompts are those of the evaluations, with right answers`() throws {
        let recall = try RecallDocuments(haystack: Self.haystack, seed: 3)
        let documents = (0..<300).map { recall.document(stage: 4, number: $0) }
        let passkeys = documents.filter { $0.contains("Find it and memorize them") }
        #expect(
            passkeys.count > 30 && passkeys.contains { $0.contains("sailed") } && passkeys.contains { $0.contains("The grass") })
        for document in passkeys {
            let answer = try #require(document.split(separator: " ").last)
            #expect(document.contains("The pass key is \(answer) Remember it."))
            #expect(document.hasSuffix("What is the pass key? The pass key is \(answer)"))
        }
        let needles = documents.filter { $0.contains("\n\nWhat is the special magic number") }
        #expect(needles.count > 30)
        for document in needles {
            let parts = document.split(separator: "\n\n")
            #expect((2...9).contains(parts.count))
            for part in parts.dropFirst() {
                let answer = try #require(part.split(separator: "? ").last)
                #expect(parts[0].contains(answer), "\(document)")
            }
        }
        let facts = documents.filter { $0.contains("What is the pass key of the") }
        #expect(facts.count > 10)
        for document in facts {
            for answer in document.split(separator: "\n").compactMap({ $0.split(separator: "? ").dropFirst().last }) {
                #expect(document.ranges(of: answer).count >= 2, "\(document)")
            }
        }
    }

    @Test func `the last stages have half of their filler as the haystack stands`() throws {
        let recall = try RecallDocuments(haystack: Self.haystack, seed: 4)
        for (stage, share) in [(3, 0..<1), (5, 35..<90)] {
            let documents = (0..<200).map { recall.document(stage: stage, number: $0) }
            #expect(share.contains(documents.count { $0.contains("\nChapter ") && $0.contains(/Chapter \d+ tells/) }))
        }
    }

    @Test func `lists come again whole`() throws {
        let recall = try RecallDocuments(haystack: Self.haystack, seed: 5)
        for number in 0..<60 {
            let lines = recall.document(stage: 1, number: number).split(separator: "\n").map { $0.split(separator: " ") }
            #expect((2...4).contains(lines.count) && Set(lines.map { $0.sorted() }).count == 1)
        }
    }

    @Test(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"))
    func `words are mostly two tokens of a tokenizer that learned from the text for it, digits one each`() throws {
        let books = ["alice.txt", "cranford.txt"].map { SharedData.path("longcontext/books/\($0)") }
        let recall = try RecallDocuments(haystack: try Corpus(paths: books).joinedText, seed: 1)
        let scratch = ScratchDirectory()
        try scratch.write(recall.vocabularyText(lines: 6_000).utf8, to: "vocabulary.txt")
        let tokenizer = try BPETrainer.train(corpus: try Corpus(paths: [scratch["vocabulary.txt"]]), vocabularySize: 1024)
        let lists = (0..<600).map { recall.document(stage: 1, number: $0) }.joined(separator: " ")
        let words = Set(lists.split { !$0.isLetter })
        #expect(words.count == 118)
        for prefix in ["", " "] {
            let counts = words.map { tokenizer.encode(prefix + $0).count }
            #expect(counts.count { $0 == 2 } >= 70 && counts.count { $0 > 3 } < 5, "\(prefix): \(counts)")
        }
        #expect(tokenizer.encode("40172").count == 5 && tokenizer.encode(" 40172").count == 5)
    }

    @Test func `text for a tokenizer has no number of two digits, and a haystack of few sentences is refused`() throws {
        let text = try RecallDocuments(haystack: Self.haystack, seed: 1).vocabularyText(lines: 80)
        #expect(!text.contains(/\d\d/) && text.contains(" 1 2 3 "))
        #expect(text.contains("What is the pass key?") && text.contains("magic number"))
        let error = #expect(throws: RecallDocuments.ShortHaystackError.self) {
            try RecallDocuments(haystack: "One short book.", seed: 1)
        }
        #expect(error?.sentences == 0)
    }
}
