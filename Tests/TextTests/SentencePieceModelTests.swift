import Foundation
import Testing

@testable import Text

/// Against Google's sentencepiece: see Fixtures/make_sentencepiece_model.py.
@Suite struct SentencePieceModelTests {
    private struct Case: Decodable {
        var text: String
        var ids: [Int32]
    }

    private static func bytes(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: TokenizerFixtures.path(name))))
    }

    @Test func `ids of a tokenizer.model equal sentencepiece's`() throws {
        let tokenizer = try TokenizerFile.load(TokenizerFixtures.path("tokenizer.model"))
        let cases = try JSONDecoder().decode([Case].self, from: Data(try Self.bytes("sentencepiece-ids.json")))
        #expect(cases.count > 10)
        for example in cases {
            #expect(tokenizer.encode(example.text) == example.ids, "\(example.text.debugDescription)")
        }
        #expect(tokenizer.vocabularySize == 320)
        #expect(tokenizer.bosID == 1)
        #expect(tokenizer.eosID == 2)
    }

    @Test func `a checkpoint keeps it as a tokenizer.json`() throws {
        let kept = try TokenizerFile.serialized(try Self.bytes("tokenizer.model"), file: "tokenizer.model")
        #expect(kept.kind == "tokenizer.json")
        #expect(
            try TokenizerFile.load(kept).encode("the cat")
                == TokenizerFile.load(TokenizerFixtures.path("tokenizer.model")).encode("the cat"))
    }

    @Test func `a unigram model is refused by name`() throws {
        let error = #expect(throws: TextError.self) { try TokenizerFile.load(TokenizerFixtures.path("unigram.model")) }
        #expect("\(String(describing: error))".contains("model_type unigram is not supported"))
    }

    @Test func `a model cut anywhere gives fewer pieces or an error`() throws {
        let bytes = try Self.bytes("tokenizer.model")
        for count in stride(from: 5, to: bytes.count, by: 7) {
            do { _ = try SentencePieceModel.serialized(Array(bytes[..<count]), file: "m") } catch {
                #expect("\(error)".hasPrefix("m: "))
            }
        }
    }

    @Test func `numbers of ten bytes are read, longer ones refused`() throws {
        var fields = ProtobufFields([0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], file: "m")
        guard case .varint(.max) = try fields.next()?.value else {
            Issue.record("not the largest number")
            return
        }
        #expect(try fields.next()?.number == nil)
        for last: UInt8 in [0x02, 0x81] {
            var longer = ProtobufFields([0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, last, 0x00], file: "m")
            #expect(throws: TextError.self) { try longer.next() }
        }
    }
}
