import Foundation
import Random
import TestSupport
import Testing

@testable import Text

@Suite struct BPETests {
    private func train(_ texts: [String], _ size: Int, special: [String] = [BPETrainer.endOfText]) throws -> BPETokenizer {
        let scratch = ScratchDirectory()
        let paths = texts.enumerated().map { scratch.text("\($0)", $1) }
        return try BPETrainer.train(corpus: Corpus(paths: paths), vocabularySize: size, specialTokens: special)
    }

    @Test func `training gives the vocabulary and merges of tokenizers`() throws {
        let learned = try train([try TokenizerFixtures.load().learn], 300)
        let reference = try TokenizerJSON(
            Array(try Data(contentsOf: URL(fileURLWithPath: TokenizerFixtures.path("byte-level.json")))), file: "reference")
        let ours = try TokenizerJSON(learned.serialized.bytes, file: "ours")
        #expect(ours.vocabulary == reference.vocabulary)
        #expect(ours.merges == reference.merges)
    }

    /// "aaab" three times, "ab" once: the pairs are aa 6 and ab 4, then with X = aa, Xa 3 and ab 4, so "ab" is next, then
    /// X + ab = "aaab" 3.
    @Test func `merges follow the counts worked by hand`() throws {
        let file = try TokenizerJSON(try train(["aaab", "aaab", "aaab", "ab"], 260).serialized.bytes, file: "t")
        let names = Dictionary(uniqueKeysWithValues: file.vocabulary.map { ($1, String(decoding: $0, as: UTF8.self)) })
        #expect(file.merges.map { names[$0.id] } == ["aa", "ab", "aaab"])
    }

    @Test func `training twice gives the same file`() throws {
        let text = (0..<2000).map { "w\($0 % 97) x\($0 % 31)'s\n" }.joined()
        #expect(try train([text], 400).serialized == train([text], 400).serialized)
    }

    @Test func `a vocabulary ends early where no pair is frequent`() throws {
        let tokenizer = try train(["abcdef"], 500)
        #expect(tokenizer.vocabularySize == 257)
        #expect(throws: TextError.vocabularyTooSmall(requested: 256, minimum: 257)) { try train(["abc"], 256) }
        #expect(throws: TextError.self) { try train(["abc"], 300, special: [""]) }
        #expect(throws: TextError.self) { try train(["abc"], 300, special: ["<a>", "<a>"]) }
    }

    @Test func `special tokens are ids in text and not learnt from`() throws {
        let tokenizer = try train([String(repeating: "<sep>hi<|end|>hi", count: 20)], 300, special: ["<|end|>", "<sep>"])
        #expect(tokenizer.eosID == 0)
        let hi = tokenizer.encode("hi")
        #expect(hi.count == 1 && tokenizer.encode("hi<sep>hi<|end|>") == hi + [1] + hi + [0])
        #expect(tokenizer.vocabularySize == 259)
    }

    @Test func `long and short words merge alike`() throws {
        // Above and below the number of symbols where merging changes to a heap.
        let tokenizer = try train([try TokenizerFixtures.load().learn + String(repeating: "abcabcababc ", count: 9)], 330)
        for length in 1...120 {
            let word = String(String(repeating: "abcababcthecatc", count: 9).prefix(length))
            var table = MergerReference(tokenizer, word)
            #expect(tokenizer.encode(word) == table.run())
        }
    }

    @Test func `any text decodes to itself`() throws {
        let tokenizer = try train([try TokenizerFixtures.load().learn], 300)
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<200 {
            let scalars = (0..<40).compactMap { _ in Unicode.Scalar(UInt32.random(in: 0..<0x3000, using: &generator)) }
            var text = ""
            text.unicodeScalars.append(contentsOf: scalars)
            #expect(tokenizer.decode(tokenizer.encode(text)) == Array(text.utf8))
        }
    }

    @Test func `text cut where allowed encodes as the whole does`() throws {
        let text = try TokenizerFixtures.load().learn + " don't\n\n  stop <|endoftext|> now  \n\tx'll é é 1 2"
        let tokenizer = try train([text], 300)
        let bytes = Array(text.utf8)
        let whole = tokenizer.encode(text)
        for start in 0..<bytes.count {
            guard let cut = tokenizer.cut(bytes.span, atOrAfter: start) else { continue }
            let parts = [bytes[..<cut], bytes[cut...]].map { tokenizer.encode(String(decoding: $0, as: UTF8.self)) }
            #expect(parts[0] + parts[1] == whole, "cut at \(cut)")
        }
    }
}

/// Merging as the definition says: again and again the lowest rank, leftmost.
private struct MergerReference {
    private let merges: [[Int32]: (rank: Int, id: Int32)]
    private var symbols: [Int32]

    init(_ tokenizer: BPETokenizer, _ word: String) {
        guard let file = try? TokenizerJSON(tokenizer.serialized.bytes, file: "t") else {
            (merges, symbols) = ([:], [])
            return
        }
        merges = Dictionary(
            uniqueKeysWithValues: file.merges.enumerated().map { ([$1.left, $1.right], ($0, $1.id)) })
        symbols = word.utf8.map { file.vocabulary[ByteAlphabet.encode([$0])] ?? -1 }
    }

    mutating func run() -> [Int32] {
        while true {
            let found = symbols.indices.dropLast().compactMap { at in
                merges[[symbols[at], symbols[at + 1]]].map { (rank: $0.rank, at: at, id: $0.id) }
            }
            guard let best = found.min(by: { ($0.rank, $0.at) < ($1.rank, $1.at) }) else { return symbols }
            symbols.replaceSubrange(best.at...best.at + 1, with: [best.id])
        }
    }
}
