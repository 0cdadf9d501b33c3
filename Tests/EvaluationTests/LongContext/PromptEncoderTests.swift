import TestSupport
import Testing
import Text

@testable import Evaluation

@Suite struct PromptEncoderTests {
    /// A template that strips texts, as most do.
    private static let writer = ChatWriter(stops: ["<end>"]) { turns in
        turns.map { "<\($0.role)>\(PythonText($0.content).stripped.string)<end>\n" }.joined() + "<assistant>\n"
    }

    private func text(_ tokens: some Sequence<Int32>) -> String {
        String(decoding: ByteTokenizer().decode(Array(tokens)), as: UTF8.self)
    }

    @Test func `a prompt in a chat template keeps its question's place, whatever white space the template strips`() throws {
        let encoder = PromptEncoder(ByteTokenizer(), bosID: 256, chat: Self.writer)
        for (prompt, bytes, behind) in [
            ("A text. Why?", 4, "Why?<end>\n<assistant>\n"), (" A text. Why? \n", 6, "Why?<end>\n<assistant>\n"),
            ("Why?", 4, "Why?<end>\n<assistant>\n"), ("A text. \n", 1, "<end>\n<assistant>\n"),
        ] {
            let encoded = try encoder.encoded(prompt, questionBytes: bytes, id: "x")
            #expect(
                encoded.text == "<user>\(PythonText(prompt).stripped.string)<end>\n<assistant>\n" && encoded.stops == ["<end>"])
            #expect(encoded.tokens.first == 256 && text(encoded.tokens.dropFirst()) == encoded.text)
            #expect(text(encoded.tokens[encoded.contextTokens...]) == behind)
        }
        // Without a template, or where none is allowed, the text is as it is.
        for encoder in [PromptEncoder(ByteTokenizer(), bosID: nil), encoder] {
            let plain = try encoder.encoded("A text. Why? ", questionBytes: 5, id: "x", isChat: false)
            #expect(plain.text == "A text. Why? " && plain.stops.isEmpty)
            #expect(text(plain.tokens[plain.contextTokens...]) == "Why? ")
        }
    }

    @Test func `a beginning-of-sequence token that a template writes is not doubled`() {
        // "<" is the first byte of the template's text.
        let encoder = PromptEncoder(ByteTokenizer(), bosID: 0x3C, chat: Self.writer)
        #expect(encoder.tokens("<user>") == Array("<user>".utf8).map { Int32($0) })
        #expect(encoder.tokens("user") == Array("<user".utf8).map { Int32($0) })
    }

    @Test func `a template that changes the text is refused, as the question's place is unknown`() {
        let shouting = ChatWriter(stops: []) { $0[0].content.uppercased() }
        let error = #expect(throws: ChatTemplateError.self) {
            try PromptEncoder(ByteTokenizer(), bosID: nil, chat: shouting).encoded("abc", questionBytes: 1, id: "x/1")
        }
        #expect(error?.description.hasPrefix("x/1: the chat template does not write the user's text as it is") == true)
    }

    @Test func `few-shot examples are part of the user's turn, or turns of their own`() throws {
        let path = HarnessTaskTests.folder + "generate.yaml"
        let encoder = PromptEncoder(ByteTokenizer(), bosID: nil, chat: Self.writer)
        let plain = try HarnessTask(path: path).examples(PromptEncoder(ByteTokenizer(), bosID: nil))[0]
        let single = try HarnessTask(path: path).examples(encoder)[0]
        #expect(single.prompt.hasPrefix("<system>Sums about sheep.<end>\n<user>"))
        #expect(single.prompt.hasSuffix(plain.prompt.dropFirst("Sums about sheep.\n\n\n".count) + "<end>\n<assistant>\n"))
        #expect(single.stops == plain.stops + ["<end>"])
        let multi = try HarnessTask(path: path, .init(isMultiTurn: true))
        #expect(multi.options["multi-turn"] == "true")
        let turns = try multi.examples(encoder)[0].prompt.components(separatedBy: "<end>\n")
        #expect(
            turns.count == 9
                && turns.map { String($0.prefix(3)) } == ["<sy", "<us", "<as", "<us", "<as", "<us", "<as", "<us", "<as"])
        #expect(turns[2] == "<assistant>2 + 1222 makes <<1224>>.\nSo it is 1,224.")
        // Without a template nothing is lost.
        #expect(try multi.examples(PromptEncoder(ByteTokenizer(), bosID: nil))[0].prompt == plain.prompt)
    }
}
