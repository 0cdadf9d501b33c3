import Files
import Foundation
import TestSupport
import Testing

@testable import Text

/// Chats in JSON Lines: what their template writes, and that the assistant's tokens alone are learnt.
@Suite struct ChatCorpusTests {
    private let scratch = ScratchDirectory()

    /// What transformers made of some chats: `Fixtures/corpora/make_chats.py`.
    private struct Reference: Decodable {
        struct Message: Codable {
            var role: String
            var content: String
        }
        struct Chat: Decodable {
            var messages: [Message]
            var text: String
            var ids: [Int32]
            var mask: [Int]
        }
        var template: String
        var tokenizer: String
        var chats: [Chat]
    }

    private static let chatML = """
        {%- for m in messages %}{{- '<|im_start|>' ~ m.role ~ '\\n' ~ m.content ~ '<|im_end|>\\n' }}{%- endfor %}
        {{- '<|im_start|>assistant\\n' if add_generation_prompt }}
        """

    private func corpus(_ lines: String, template: String = chatML) throws -> Corpus {
        try Corpus(
            [TextSource(path: scratch.text("chats.jsonl", lines))],
            chats: { () throws(ChatFault) in try ChatTemplateRenderer(template, specialTokens: [:]) })
    }

    private func lines(_ chats: [[Reference.Message]]) throws -> String {
        try chats.map { String(decoding: try JSONEncoder().encode(["messages": $0]), as: UTF8.self) + "\n" }.joined()
    }

    private func turns(_ corpus: Corpus) -> [[String]] {
        corpus.documents.map { document in
            let text = Array(corpus.text(document).utf8)
            return (document.turns ?? []).map { String(decoding: text[$0], as: UTF8.self) }
        }
    }

    private func refusal(_ line: String, template: String = chatML) -> String? {
        let error = #expect(throws: (any Error).self) { try corpus(line, template: template) }
        return error.map { "\($0)".replacing(scratch.path + "/", with: "") }
    }

    @Test(arguments: 0..<3)
    func `texts, ids and targets of chats are those of transformers' assistant tokens mask`(index: Int) throws {
        let data = try Data(contentsOf: URL(fileURLWithPath: TokenizerFixtures.path("corpora/chats.json")))
        let reference = try JSONDecoder().decode([Reference].self, from: data)[index]
        let tokenizer = try TokenizerFile.load(TokenizerFixtures.path(reference.tokenizer))
        let corpus = try corpus(lines(reference.chats.map(\.messages)), template: reference.template)
        #expect(corpus.documents.map { corpus.text($0) } == reference.chats.map(\.text))
        let cache = TokenCache(directory: scratch["cache"])
        let streams = [
            try TokenStream(corpus, tokenizer: tokenizer), try cache.stream(corpus, tokenizer: tokenizer),
            try cache.stream(corpus, tokenizer: tokenizer) { _, _ in Issue.record("encoded again") },
        ]
        let ids = reference.chats.flatMap(\.ids)
        let targets = reference.chats.flatMap { zip($0.ids, $0.mask).map { $1 == 1 ? $0 : TokenBatch.ignored } }
        for stream in streams {
            #expect(stream.ids(0..<stream.count) == ids)
            #expect(stream.targets(0..<stream.count) == targets)
            #expect(stream.targetCount == targets.count { $0 >= 0 } && stream.documentStarts.count == reference.chats.count)
        }
    }

    @Test func `a template without generation blocks gives the turns by what each message adds`() throws {
        let chats: [[(String, String)]] = [
            [("system", "S"), ("user", "Hi"), ("assistant", "Hello é"), ("user", "More"), ("assistant", "")],
            [("assistant", "First"), ("user", "then")],
        ]
        let corpus = try corpus(lines(chats.map { $0.map { .init(role: $0.0, content: $0.1) } }))
        #expect(turns(corpus) == [["Hello é<|im_end|>\n", "<|im_end|>\n"], ["First<|im_end|>\n"]])
        #expect(corpus.learntBytes == "Hello é<|im_end|>\n<|im_end|>\nFirst<|im_end|>\n".utf8.count && corpus.hasChats)
    }

    @Test func `batches have no targets but the assistant's tokens`() throws {
        let chat = (0..<20).flatMap { [("user", "question \($0)"), ("assistant", "answer \($0)")] }
        let corpus = try corpus(lines([chat.map { .init(role: $0.0, content: $0.1) }]))
        let stream = try TokenStream(corpus, tokenizer: ByteTokenizer())
        let learnt = turns(corpus)[0].joined()
        func text(_ targets: [Int32]) -> String { String(decoding: targets.filter { $0 >= 0 }.map { UInt8($0) }, as: UTF8.self) }
        let validation = ValidationBatches(stream, seq: 32, batch: 2)
        #expect(text(validation.flatMap(\.targets)) == learnt)
        #expect(validation.flatMap(\.tokens).prefix(stream.count - 1) == stream.ids(0..<stream.count - 1)[...])
        let batch = try TokenBatches(stream, seq: 32, seed: 1, packing: .masked).batch(samples: 0..<10)
        #expect(batch.targets.contains(TokenBatch.ignored) && batch.targets.contains { $0 >= 0 })
        // Where there is a target, it is the next token.
        for place in batch.targets.indices where place % 32 != 31 && batch.targets[place] >= 0 {
            #expect(batch.targets[place] == batch.tokens[place + 1])
        }
    }

    @Test func `chats beside texts keep their own rule, and a split leaves them whole`() throws {
        let chat = try lines([[.init(role: "user", content: "u"), .init(role: "assistant", content: "a")]])
        let corpus = try corpus("{\"text\": \"plain\"}\n" + chat + chat)
        let stream = try TokenStream(corpus, tokenizer: ByteTokenizer())
        let plain = Array("plain".utf8).map { Int32($0) } + [256]
        #expect(stream.targets(0..<plain.count) == plain && stream.documentStarts[1] == plain.count)
        #expect(stream.targets(plain.count..<plain.count + 5) == [Int32](repeating: TokenBatch.ignored, count: 5))
        let (train, validation) = try corpus.split(fraction: 0.5, by: .position, seed: 0)
        #expect(train.documents == Array(corpus.documents[..<2]) && validation.documents == [corpus.documents[2]])
    }

    @Test func `turns are a part of a corpus's identity`() throws {
        let chat = try lines([[.init(role: "user", content: "u"), .init(role: "assistant", content: "a")]])
        let marked = "{%- for m in messages %}{%- generation %}{{- m.content }}{%- endgeneration %}{%- endfor %}"
        let last =
            "{%- for m in messages %}{%- if loop.last %}{%- generation %}{{- m.content }}{%- endgeneration %}"
            + "{%- else %}{{- m.content }}{%- endif %}{%- endfor %}"
        let (all, one) = (try corpus(chat, template: marked), try corpus(chat, template: last))
        #expect(all.documents.map { all.text($0) } == one.documents.map { one.text($0) })
        #expect(all.contentHash == one.contentHash && all.selectionHash != one.selectionHash)
    }

    @Test func `a template that writes the day writes the same one on any day`() throws {
        let chat = try lines([[.init(role: "user", content: "u"), .init(role: "assistant", content: "a")]])
        let corpus = try corpus(chat, template: "{{ strftime_now('%d %b %Y') }} " + Self.chatML)
        #expect(corpus.text(corpus.documents[0]).hasPrefix("26 Jul 2024<|im_start|>"))
    }

    @Test func `chats that give no turns are refused by file and line`() throws {
        let good = try lines([[.init(role: "user", content: "u"), .init(role: "assistant", content: "a")]])
        #expect(
            refusal(good + #"{"messages": [{"role": "user", "content": "u"}]}"#)
                == "chats.jsonl:2: the line has a chat in 'messages' that has no turn of the assistant, so nothing to learn")
        #expect(refusal(#"{"messages": [{"content": "u"}]}"#)?.contains("has no role in message 1") == true)
        #expect(refusal(#"{"messages": []}"#)?.contains("has no turn of the assistant") == true)
        #expect(refusal(#"{"messages": 7}"#)?.contains("has a 'messages' that is neither a string nor an array") == true)
        #expect(refusal(good.dropLast(2) + #", "text": "a"}"#)?.contains("has both a 'text' and 'messages'; name one") == true)
        #expect(
            refusal(good, template: "{{ raise_exception('roles must alternate') }}")?
                .contains("is refused by its template: roles must alternate") == true)
        #expect(refusal(good, template: "{{ 1 / 0 }}")?.contains("can't be written by its template: ") == true)
        #expect(refusal(good, template: "{% for %}")?.contains("has a chat template that can't be read: ") == true)
        // An earlier turn is written otherwise than the last one.
        let forgetful = "{%- for m in messages %}{{- m.role ~ (m.content if loop.last else '') ~ ';' }}{%- endfor %}"
        #expect(
            refusal(good.dropLast(3) + #", {"role": "user", "content": "v"}]}"#, template: forgetful)?
                .contains("mark the assistant's turns with {% generation %} in a copy of the template") == true)
    }

    @Test func `chats where text is wanted are refused`() throws {
        let path = scratch.text(
            "a.jsonl", try lines([[.init(role: "user", content: "u"), .init(role: "assistant", content: "a")]]))
        let error = #expect(throws: TextError.self) { try Corpus(paths: [path]) }
        #expect(
            error?.description.hasPrefix(
                "\(path):1: the line has a chat in 'messages' that is no text here: chats are for training")
                == true)
    }
}
