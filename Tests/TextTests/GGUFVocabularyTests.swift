import Foundation
import TestSupport
import Testing
import Text

@Suite struct GGUFVocabularyTests {
    private func tokenizer(_ name: String) throws -> any Tokenizer { try TokenizerFile.load(TokenizerFixtures.path(name)) }

    private let texts = [
        "Once upon a time", " two  spaces\n\nand lines\t", "don't 12345 é e\u{301} 日本語 🙂", "", "x", "<|endoftext|>a", "</s> b",
    ]

    @Test(arguments: ["byte-level.json", "sentencepiece.json"])
    func `a tokenizer brought to GGUF and back gives the same ids`(name: String) throws {
        let before = try tokenizer(name)
        let vocabulary: GGUFVocabulary
        do { vocabulary = try GGUFVocabulary(before.serialized, vocabularySize: before.vocabularySize + 3) } catch {
            Issue.record("\(error)")
            return
        }
        #expect(vocabulary.tokens.count == before.vocabularySize + 3)
        let after = try TokenizerFile.load(try vocabulary.serialized(file: "x"))
        for text in texts {
            #expect(after.encode(text) == before.encode(text), "\(text)")
            #expect(after.decode(before.encode(text)) == before.decode(before.encode(text)))
        }
        #expect(after.bosID == before.bosID)
        #expect(after.eosID == before.eosID)
    }

    @Test func `a way to cut text that GGUF has no name for is refused`() throws {
        let text = try String(contentsOfFile: TokenizerFixtures.path("byte-level.json"), encoding: .utf8)
        let vocabulary = try GGUFVocabulary(
            SerializedTokenizer(kind: "tokenizer.json", bytes: Array(text.utf8)), vocabularySize: 100_000)
        var other = vocabulary
        other.pre = "unheard-of"
        #expect(throws: TextError.self) { try other.serialized(file: "x") }
        other = vocabulary
        other.model = "bert"
        #expect(throws: TextError.self) { try other.serialized(file: "x") }
        other = vocabulary
        other.tokens[5] = other.tokens[6]
        #expect(throws: TextError.self) { try other.serialized(file: "x") }
        #expect(throws: TextError.self) { try GGUFVocabulary(SerializedTokenizer(kind: "byte", bytes: []), vocabularySize: 256) }
    }
}
