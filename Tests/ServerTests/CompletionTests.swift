import Checkpoints
import JSON
import TestSupport
import Testing

@testable import Server

@Suite struct CompletionTests {
    private func texts(_ answer: ServerFixture.Answer) -> [String] {
        answer.json?["choices"]?.array?.compactMap { $0["text"]?.string } ?? []
    }

    @Test func `prompts of text, of ids, and lists of them are completed`() async throws {
        let server = try await ServerFixture()
        let ids = try await server.greedy(Array("Hello".utf8).map { Int32($0) }, 8)
        let expected = String(decoding: server.models[0].tokenizer.decode(ids), as: UTF8.self)
        for prompt in [#""Hello""#, "[72,101,108,108,111]", #"["Hello"]"#, "[[72,101,108,108,111]]"] {
            let answer = try await server.post(
                "/v1/completions", #"{"model":"mha","prompt":\#(prompt),"max_tokens":8,"temperature":0,"ignore_eos":true}"#)
            #expect(answer.status == 200 && texts(answer) == [expected], "\(prompt): \(answer.text)")
            #expect(answer.json?["usage"]?["prompt_tokens"]?.int == 5 && answer.json?["object"]?.string == "text_completion")
        }
        let both = try await server.post(
            "/v1/completions", #"{"model":"mha","prompt":["Hello","Bye"],"max_tokens":8,"temperature":0,"n":2,"ignore_eos":true}"#
        )
        #expect(
            texts(both).count == 4 && texts(both)[0] == expected && texts(both)[1] == expected && texts(both)[2] == texts(both)[3]
        )
        #expect(both.json?["choices"]?.array?.compactMap { $0["index"]?.int } == [0, 1, 2, 3])
    }

    @Test func `echo with log-probabilities is sliced as the evaluation harness slices it`() async throws {
        let server = try await ServerFixture()
        let answer = try await server.post(
            "/v1/completions",
            #"{"model":"mqa","prompt":[[104,105,32,116,104,101,114,101]],"max_tokens":1,"temperature":0,"logprobs":2,"echo":true,"seed":1234}"#
        )
        let list = try #require(answer.json?["choices"]?.array?.first?["logprobs"], "\(answer.text)")
        let (tokens, logprobs) = (list["tokens"]?.array ?? [], list["token_logprobs"]?.array ?? [])
        let (tops, offsets) = (list["top_logprobs"]?.array ?? [], list["text_offset"]?.array ?? [])
        #expect(tokens.count == 9 && logprobs.count == 9 && tops.count == 9 && offsets.compactMap(\.int).prefix(3) == [0, 1, 2])
        #expect(logprobs[0] == .null && tops[0] == .null && tokens[1].string == "i")
        for (logprob, top) in zip(logprobs, tops).dropFirst() {
            // The token's own figure is among the likeliest, digit for digit.
            let values = top.members?.map(\.value) ?? []
            #expect(values.contains(logprob) && values.count >= 2)
        }
        // The generated token is the likeliest: its figure equals the greatest one.
        let last = tops[8].members?.compactMap { $0.value.double } ?? []
        #expect(logprobs[8].double == last.max())
    }

    @Test func `a stream's chunks are the whole answer in pieces`() async throws {
        let server = try await ServerFixture()
        let body = #"{"model":"mha","prompt":"abc","max_tokens":12,"temperature":0,"ignore_eos":true"#
        let whole = try await server.post("/v1/completions", body + "}")
        let stream = try await server.post(
            "/v1/completions", body + #","stream":true,"stream_options":{"include_usage":true},"n":2}"#)
        #expect(
            stream.headers["content-type"]?.hasPrefix("text/event-stream") == true && stream.text.hasSuffix("data: [DONE]\n\n"))
        for index in 0..<2 {
            let mine = stream.events.compactMap { $0["choices"]?.array?.first }.filter { $0["index"]?.int == index }
            #expect(mine.compactMap { $0["text"]?.string }.joined() == texts(whole).first)
            #expect(mine.last?["finish_reason"]?.string == "length")
        }
        #expect(stream.events.last?["choices"]?.array == [] && stream.events.last?["usage"]?["completion_tokens"]?.int == 24)
    }

    @Test func `the best of several is the likeliest of them`() async throws {
        let server = try await ServerFixture()
        let body = #"{"model":"mha","prompt":"xyz","max_tokens":6,"temperature":1,"seed":3,"ignore_eos":true,"logprobs":0"#
        let all = try await server.post("/v1/completions", body + #","n":5}"#)
        let best = try await server.post("/v1/completions", body + #","n":2,"best_of":5}"#)
        let sums = (all.json?["choices"]?.array ?? []).map { choice in
            (choice["logprobs"]?["token_logprobs"]?.array ?? []).compactMap(\.double).reduce(0, +)
        }
        let ranked = zip(sums, texts(all)).sorted { $0.0 > $1.0 }.map(\.1)
        #expect(texts(all).count == 5 && texts(best) == Array(ranked.prefix(2)))
    }

    @Test func `beam search gives the likeliest outputs in order`() async throws {
        let server = try await ServerFixture()
        func answer(_ rest: String) async throws -> ServerFixture.Answer {
            try await server.post(
                "/v1/completions",
                #"{"model":"mha","prompt":"Hello","max_tokens":6,"ignore_eos":true,"logprobs":0,"temperature":0\#(rest)}"#)
        }
        let found = try await answer(#","use_beam_search":true,"best_of":6,"n":3"#)
        let choices = try #require(found.json?["choices"]?.array, "\(found.text)")
        let sums = choices.map { choice in
            (choice["logprobs"]?["token_logprobs"]?.array ?? []).reduce(0) { $0 + ($1.double ?? -100) }
        }
        #expect(choices.count == 3 && sums == sums.sorted(by: >))
        #expect(found.json?["usage"]?["completion_tokens"]?.int == 18)
        let greedy = try await answer("").json?["choices"]?.array?[0]["logprobs"]?["token_logprobs"]?.array ?? []
        #expect(sums[0] >= greedy.reduce(0) { $0 + ($1.double ?? 0) } - 1e-5)
        for wrong in [
            #","use_beam_search":true,"stream":true"#, #","use_beam_search":1"#, #","use_beam_search":true,"stop":["x"]"#,
            #","use_beam_search":true,"best_of":100000"#, #","use_beam_search":true,"length_penalty":"x""#,
        ] { #expect(try await answer(wrong).status == 400, "\(wrong)") }
        #expect(try await server.becomesIdle())
    }

    @Test func `chats are answered, whole and streamed`() async throws {
        let server = try await ServerFixture()
        let body =
            #"{"model":"mqa","messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}],"max_tokens":9,"temperature":0"#
        let whole = try await server.post("/v1/chat/completions", body + #","logprobs":true,"top_logprobs":2}"#)
        let choice = try #require(whole.json?["choices"]?.array?.first, "\(whole.text)")
        #expect(choice["message"]?["role"]?.string == "assistant")
        #expect(choice["logprobs"]?["content"]?.array?.first?["top_logprobs"]?.array?.count == 2)
        let stream = try await server.post("/v1/chat/completions", body + #","stream":true}"#)
        let deltas = stream.events.compactMap { $0["choices"]?.array?.first?["delta"] }
        #expect(deltas.first?["role"]?.string == "assistant")
        #expect(deltas.compactMap { $0["content"]?.string }.joined() == choice["message"]?["content"]?.string)
        #expect(stream.events.allSatisfy { $0["object"]?.string == "chat.completion.chunk" })
    }

    @Test(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"), arguments: ["stories260K", "tinystories-656k"])
    func `the text at a token's offset begins with the token, whole and streamed`(name: String) async throws {
        let server = try await ServerFixture(shared: name, SharedModel.load(name))
        for (prompt, echo) in [("Once upon a time", true), ("Once upon a time", false), ("", true), ("Lily 👍 ünd", true)] {
            let body =
                #"{"model":"\#(name)","prompt":"\#(prompt)","echo":\#(echo),"logprobs":3,"max_tokens":12,"temperature":0"#
                + #","ignore_eos":true,"logit_bias":{"243":8}"#
            let whole = try #require(try await server.post("/v1/completions", body + "}").json?["choices"]?.array?.first)
            let stream = try await server.post("/v1/completions", body + #","stream":true}"#).events
            let chunks = stream.compactMap { $0["choices"]?.array?.first }
            for parts in [[whole], chunks] {
                let text = Array(parts.compactMap { $0["text"]?.string }.joined().unicodeScalars)
                let tokens = parts.flatMap { $0["logprobs"]?["tokens"]?.array ?? [] }.compactMap(\.string)
                let offsets = parts.flatMap { $0["logprobs"]?["text_offset"]?.array ?? [] }.compactMap(\.int)
                #expect(tokens.count == offsets.count && tokens.count >= 12 && offsets == offsets.sorted())
                for (token, offset) in zip(tokens, offsets) {
                    // Part of a character stands where the character does.
                    let begins = token.hasPrefix("bytes:") || text.dropFirst(offset).starts(with: token.unicodeScalars)
                    #expect(begins && offset <= text.count, "\(token) at \(offset) of \(String(String.UnicodeScalarView(text)))")
                }
                #expect(!echo || prompt.isEmpty || tokens.contains { $0.hasPrefix(" ") })
            }
            let texts = [
                whole["logprobs"]?["text_offset"]?.array ?? [], chunks.flatMap { $0["logprobs"]?["text_offset"]?.array ?? [] },
            ]
            #expect(texts[0] == texts[1])
        }
    }

    @Test func `a stop string ends the text before it`() async throws {
        let server = try await ServerFixture()
        let body = #"{"model":"mha","prompt":"stop","max_tokens":30,"temperature":0,"ignore_eos":true"#
        let text = texts(try await server.post("/v1/completions", body + "}")).first ?? ""
        let scalars = Array(text.unicodeScalars)
        let stop = String(String.UnicodeScalarView(scalars[4..<6]))
        let answer = try await server.post("/v1/completions", body + #","stop":[\#(JSONValue.quoted(stop))]}"#)
        #expect(text.hasPrefix((texts(answer).first ?? "?") + stop), "\(answer.text)")
        #expect(answer.json?["choices"]?.array?.first?["finish_reason"]?.string == "stop")
    }
}

/// The models of the shared data, with their tokenizers.
enum SharedModel {
    static func load(_ name: String) throws -> Checkpoint {
        let folder = SharedData.path("models/\(name)/")
        return try name == "stories260K"
            ? ModelImport.load(folder + "stories260K.bin", tokenizer: folder + "tok512.bin") : ModelImport.load(folder)
    }
}
