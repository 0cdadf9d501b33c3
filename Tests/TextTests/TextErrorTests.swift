import Testing

@testable import Text

@Suite struct TextErrorTests {
    @Test(arguments: [
        (
            TextError.invalidUTF8(path: "a.txt", offset: 7),
            "a.txt: not UTF-8: invalid byte at offset 7; convert the file, for example with iconv -t utf-8"
        ),
        (
            .emptyText(path: "a.txt"),
            "a.txt: the file is empty (invalid at byte offset 0: a text of at least one byte is expected)"
        ),
        (
            .changed(path: "a.txt"),
            "a.txt: the file was changed while it was in use; start again, and replace a text in use by renaming a new file over it"
        ),
        (
            .tooFewTokens(have: 9, seq: 16),
            "the text has 9 tokens, fewer than one window of 17 (seq 16 and the next token); use more text or a shorter seq"
        ),
        (
            .invalidTokenCache(path: "c.tokens", reason: "a token is 400, beyond a vocabulary of 257"),
            "c.tokens: not a token cache that kvlab wrote: a token is 400, beyond a vocabulary of 257; remove the file, and the text is encoded again"
        ),
        (
            .malformedJSON(file: "t.json", line: 2, column: 5, reason: "no such escape"),
            "t.json:2:5: not valid JSON: no such escape"
        ),
        (
            .unsupportedTokenizer(file: "t.json", feature: "model Unigram", reason: "only BPE is implemented"),
            "t.json: model Unigram is not supported: only BPE is implemented"
        ),
    ])
    func `errors say what, where and what to do`(error: TextError, sentence: String) {
        #expect(error.description == sentence)
    }
}
