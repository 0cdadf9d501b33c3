import Files
import Foundation
import TestSupport
import Testing

@testable import Text

@Suite struct TokenizerFileTests {
    @Test func `byte-level ids equal those of tokenizers`() throws {
        let tokenizer = try TokenizerFile.load(TokenizerFixtures.path("byte-level.json"))
        #expect(tokenizer is BPETokenizer && tokenizer.bosID == nil && tokenizer.eosID == 0)
        for item in try TokenizerFixtures.load().cases {
            #expect(tokenizer.encode(item.text) == item.byteLevel, "\(item.text.debugDescription)")
            #expect(tokenizer.decode(item.byteLevel) == Array(item.text.utf8))
        }
    }

    @Test func `SentencePiece-style ids equal those of tokenizers`() throws {
        let tokenizer = try TokenizerFile.load(TokenizerFixtures.path("sentencepiece.json"))
        #expect(tokenizer is SentencePieceTokenizer && tokenizer.bosID == 1 && tokenizer.eosID == 2)
        for item in try TokenizerFixtures.load().cases {
            #expect(tokenizer.encode(item.text) == item.sentencepiece, "\(item.text.debugDescription)")
        }
        #expect(tokenizer.decode(tokenizer.encode("the cat.")) == Array("the cat.".utf8))
    }

    @Test(arguments: ["byte-level.json", "sentencepiece.json"])
    func `a serialized tokenizer reads back equal`(name: String) throws {
        let tokenizer = try TokenizerFile.load(TokenizerFixtures.path(name))
        let again = try TokenizerFile.load(tokenizer.serialized)
        #expect(again.serialized == tokenizer.serialized)
        #expect((again.vocabularySize, again.bosID, again.eosID) == (tokenizer.vocabularySize, tokenizer.bosID, tokenizer.eosID))
        for item in try TokenizerFixtures.load().cases { #expect(again.encode(item.text) == tokenizer.encode(item.text)) }
        #expect(try TokenizerFile.load(ByteTokenizer().serialized).vocabularySize == 257)
    }

    @Test func `garbage is reported as what its name or its beginning says it is meant to be`() throws {
        for (name, content) in [
            ("tokenizer.json", "garbage"), ("x.json", ""), ("tokenizer.json", "\u{3}\0\0\0 garbage"), ("x", "{garbage"),
        ] {
            do {
                _ = try TokenizerFile.serialized(Array(content.utf8), file: name)
                Issue.record("\(name) \(content) was taken")
            } catch { #expect("\(error)".hasPrefix(name + ":1:") && "\(error)".contains("not valid JSON"), "\(error)") }
        }
        #expect(throws: TextError.unknownTokenizer(file: "tokenizer.bin")) {
            try TokenizerFile.serialized(Array("garbage that is long enough".utf8), file: "tokenizer.bin")
        }
        #expect(throws: TextError.self) {
            try TokenizerFile.serialized([3, 0, 0, 0] + Array("garbage".utf8) + [0, 0], file: "t.bin")
        }
        // What kvlab can't use may still be kept.
        #expect(try TokenizerFile.serialized(Array(#"{"model": {"type": "Unigram"}}"#.utf8), file: "a").kind == "tokenizer.json")
    }

    @Test func `BOS and EOS from tokenizer_config survive serialization`() throws {
        let scratch = ScratchDirectory()
        try scratch.write(
            Array(try Data(contentsOf: URL(fileURLWithPath: TokenizerFixtures.path("byte-level.json")))), to: "tokenizer.json")
        try scratch.write(
            Array(#"{"bos_token": {"content": "<|endoftext|>"}, "add_bos_token": true, "eos_token": "a"}"#.utf8),
            to: "tokenizer_config.json")
        let tokenizer = try TokenizerFile.load(scratch["tokenizer.json"])
        #expect(tokenizer.bosID == 0 && tokenizer.eosID == tokenizer.encode("a")[0])
        let again = try TokenizerFile.load(tokenizer.serialized)
        #expect(again.bosID == 0 && again.eosID == tokenizer.eosID)
    }

    /// What to change in the byte-level fixture, and what has to be named in the refusal.
    @Test(arguments: [
        (#""type":"BPE""#, #""type":"Unigram""#, "model Unigram"),
        (#""truncation":null"#, #""truncation":{"max_length":5}"#, "truncation"),
        (#""padding":null"#, #""padding":{"strategy":"BatchLongest"}"#, "padding"),
        (#""normalizer":null"#, #""normalizer":{"type":"Nmt"}"#, "normalizer Nmt"),
        (#""dropout":null"#, #""dropout":0.1"#, "dropout"),
        (#""end_of_word_suffix":null"#, #""end_of_word_suffix":"</w>""#, "end_of_word_suffix"),
        (#""post_processor":null"#, #""post_processor":{"type":"BertProcessing"}"#, "post_processor BertProcessing"),
        (#""pre_tokenizer":{"type":"ByteLevel""#, #""pre_tokenizer":{"type":"Split""#, "pre_tokenizer Split"),
        (#""merges":[["#, #""merges":[["no","such"],["#, "model.merges[0]"),
        (#""id":0"#, #""id":7"#, "added_tokens"),
        (#""id":0"#, #""id":99999999999"#, "added_tokens[0]"),
        (#""version""#, #""version":"1","version""#, "a second time"),
        (#""vocab":{"#, #""vocab":{"é\ud800":1,"#, "surrogate"),
    ])
    func `what is not supported is refused by name`(part: String, replacement: String, named: String) throws {
        let file = try String(contentsOfFile: TokenizerFixtures.path("byte-level.json"), encoding: .utf8)
        let changed = file.replacingOccurrences(of: part, with: replacement)
        #expect(changed != file)
        let error = #expect(throws: TextError.self) {
            try TokenizerFile.load(SerializedTokenizer(kind: "tokenizer.json", bytes: Array(changed.utf8)), name: "t.json")
        }
        #expect(
            error?.description.contains(named) == true && error?.description.hasPrefix("t.json") == true,
            "\(String(describing: error))")
    }

    @Test func `every truncation of a tokenizer.json is refused`() throws {
        let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: TokenizerFixtures.path("byte-level.json"))))
        for count in stride(from: 0, to: bytes.count - 1, by: 13) {
            #expect(throws: TextError.self) {
                try TokenizerFile.load(SerializedTokenizer(kind: "tokenizer.json", bytes: Array(bytes[..<count])))
            }
        }
        let deep = [UInt8](repeating: UInt8(ascii: "["), count: 100_000)
        #expect(throws: TextError.self) { try TokenizerFile.load(SerializedTokenizer(kind: "tokenizer.json", bytes: deep)) }
    }

    @Test func `a file of neither format is refused`() throws {
        let scratch = ScratchDirectory()
        #expect(throws: TextError.unknownTokenizer(file: scratch["a.txt"])) {
            try TokenizerFile.load(scratch.text("a.txt", "some words that are no tokenizer"))
        }
        #expect(throws: FileError.empty(path: scratch["b"])) { try TokenizerFile.load(scratch.text("b", "")) }
    }

    @Test func `streamed tokens join to the text whatever is stripped`() throws {
        for name in ["byte-level.json", "sentencepiece.json"] {
            let tokenizer = try #require(try TokenizerFile.load(TokenizerFixtures.path(name)) as? any UTF8Tokenizer)
            for text in ["the cat sat", "  the  cat", "the \u{e9}1 \u{4e2d}."] {
                #expect(
                    stream(tokenizer, tokenizer.encode(text))
                        == String(decoding: tokenizer.decode(tokenizer.encode(text)), as: UTF8.self))
            }
        }
    }

    private func stream(_ tokenizer: some Tokenizer, _ ids: [Int32]) -> String {
        var decoder = TokenStreamDecoder(tokenizer)
        return ids.map { decoder.append($0) }.joined() + decoder.finish()
    }
}
