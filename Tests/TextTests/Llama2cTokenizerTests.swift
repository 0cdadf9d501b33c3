import Foundation
import Testing

@testable import Text

@Suite struct Llama2cTokenizerTests {
    /// The fixed tokens, then `pieces` with their scores.
    private func file(_ pieces: [(String, Float)], maximum: UInt32 = 16) -> [UInt8] {
        func little(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
        var bytes = little(maximum)
        let fixed = ["<unk>", "\n<s>\n", "\n</s>\n"] + (0...255).map { String(decoding: ByteName.of($0), as: UTF8.self) }
        for (text, score) in fixed.map({ ($0, Float(0)) }) + pieces {
            bytes += little(score.bitPattern) + little(UInt32(text.utf8.count)) + Array(text.utf8)
        }
        return bytes
    }

    private let pieces: [(String, Float)] = [(" ", -9), ("a", -9), ("b", -9), ("ab", -1), (" a", -2), ("ba", -2), ("aa", -1)]

    @Test func `the highest score merges first and the leftmost of equals`() throws {
        let tokenizer = try Llama2cTokenizer(file(pieces), file: "t.bin")
        // 259 " ", 260 "a", 261 "b", 262 "ab", 263 " a", 264 "ba", 265 "aa".
        #expect(tokenizer.encode("ab") == [259, 262])
        #expect(tokenizer.encode("aab") == [259, 265, 261])
        #expect(tokenizer.encode("ba") == [259, 264])
        #expect(tokenizer.encode("a") == [263])
        #expect(tokenizer.encode("") == [])
        #expect(tokenizer.encode("é") == [259, 3 + 0xc3, 3 + 0xa9])
    }

    @Test func `the leading space goes after BOS alone`() throws {
        let tokenizer = try Llama2cTokenizer(file(pieces), file: "t.bin")
        #expect(tokenizer.decode([1] + tokenizer.encode("ab é")) == Array("ab é".utf8))
        #expect(tokenizer.decode(tokenizer.encode("ab")) == Array(" ab".utf8))
        #expect(tokenizer.decode([1, 2, -5, 9999]) == [])
        #expect(try TokenizerFile.load(tokenizer.serialized).encode("aab") == tokenizer.encode("aab"))
    }

    @Test func `damaged files are refused`() throws {
        let whole = file(pieces)
        for count in stride(from: 0, to: whole.count - 60, by: 7) {
            #expect(throws: TextError.self) { try Llama2cTokenizer(Array(whole[..<count]), file: "t.bin") }
        }
        var hostile = whole
        hostile.replaceSubrange(8..<12, with: [0xff, 0xff, 0xff, 0x7f])
        #expect(throws: TextError.malformedTokenizer(file: "t.bin", reason: "token 0 at byte 4 claims 2147483647 bytes")) {
            try Llama2cTokenizer(hostile, file: "t.bin")
        }
        #expect(throws: TextError.self) { try Llama2cTokenizer(file(pieces, maximum: 4), file: "t.bin") }
        #expect(throws: TextError.self) { try Llama2cTokenizer(file([("x", .nan)]), file: "t.bin") }
    }
}
