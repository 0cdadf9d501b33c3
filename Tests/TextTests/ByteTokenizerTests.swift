import Testing

@testable import Text

@Suite struct ByteTokenizerTests {
    @Test func `bytes are their own ids`() {
        let tokenizer = ByteTokenizer()
        #expect(tokenizer.encode("é\n") == [0xc3, 0xa9, 10])
        #expect(tokenizer.decode([0xc3, 0xa9, 256, 10, 999, -1]) == Array("é\n".utf8))
        #expect(tokenizer.vocabularySize == 257 && tokenizer.eosID == 256 && tokenizer.bosID == nil)
    }
}
