import Inference
import JSON
import Testing

@testable import Server

/// Prefixes that are compressed once for all requests that share them.
@Suite struct CompressedPrefixTests {
    private func server(
        _ policy: String = "keydiff", compresses: Bool = true, shares: Bool = true, chatFormat: ChatFormat = .named(.chatml)
    ) async throws -> ServerFixture {
        let retention = try CacheSpec("evict=\(policy),budget=24").retention()
        return try await ServerFixture(chatFormat: chatFormat) { options, engine in
            options.limits.compressesPrefixes = compresses
            options.limits.requestsMayEvict = true
            (engine.retention, engine.batchInvariant, engine.prefixSharing) = (retention, true, shares)
        }
    }

    private let rules = "Answer in one word, and never say why it is the one that you chose."

    private func chat(_ server: ServerFixture, _ question: String, system: String? = nil, _ more: String = "") async throws
        -> (text: String, cached: Int)
    {
        let messages = [
            system.map { #"{"role":"system","content":"\#($0)"},"# } ?? "", #"{"role":"user","content":"\#(question)"}"#,
        ]
        let answer = try await server.post(
            "/v1/chat/completions",
            #"{"model":"mha","messages":[\#(messages.joined())],"temperature":0,"max_tokens":12\#(more)}"#)
        #expect(answer.status == 200, "\(answer.text)")
        return (
            try #require(answer.json?["choices"]?.array?[0]["message"]?["content"]?.string),
            try #require(answer.json?["usage"]?["prompt_tokens_details"]?["cached_tokens"]?.int)
        )
    }

    @Test func `chats with the same first messages read the pages that one of them compressed`() async throws {
        let shared = try await server()
        let alone = try await server(shares: false)
        // A byte is a token: all but the user's text and what follows it.
        let prefix = "<|im_start|>system\n\(rules)<|im_end|>\n<|im_start|>user\n".utf8.count
        for (index, question) in ["Whose?", "When was it, then?", "Where?"].enumerated() {
            let (found, expected) = (
                try await chat(shared, question, system: rules), try await chat(alone, question, system: rules)
            )
            #expect(found.text == expected.text)
            #expect(found.cached == (index == 0 ? 0 : prefix) && expected.cached == 0)
        }
        let pool = try #require(await shared.send("GET", "/v1/kvlab/pool").json?["models"]?.array?[0])
        #expect(pool["compressed_prefixes"]?.int == 1 && pool["idle_prefix_pages"]?.int ?? 0 > 0)
        // Without messages before the user's, or with an eviction of its own, the whole prompt is compressed.
        let long = "Which of all these is the one that you would choose?"
        #expect(try await chat(shared, long).text == chat(server(compresses: false), long).text)
        let own = #","kv_evict":"knorm","kv_budget":24"#
        #expect(
            try await chat(shared, long, system: rules, own).text
                == chat(server(compresses: false), long, system: rules, own).text)
        #expect(try await shared.send("GET", "/v1/kvlab/pool").json?["models"]?.array?[0]["compressed_prefixes"]?.int == 1)
    }

    @Test(arguments: [ChatTemplate.plain, .chatml, .llama3, .gemma, .llama2])
    func `a prefix ends where the first user's text begins, in every format`(format: ChatTemplate) async throws {
        let model = try await server(chatFormat: .named(format)).models[0]
        func prefix(_ contents: [(String, String)]) throws -> String? {
            let messages = contents.map { ChatTemplate.Message(role: $0.0, content: $0.1) }
            let prompt = try model.chatPrompt(messages)
            let count = try model.prefixTokens(of: prompt, messages) { messages throws(APIError) in
                try model.chatFormat.turns(messages)
            }
            return count.map { String(decoding: model.tokenizer.decode(Array(prompt.prefix($0))), as: UTF8.self) }
        }
        let found = try #require(try prefix([("system", rules), ("user", "Who?"), ("assistant", "I."), ("user", "Who?")]))
        #expect(found == (try prefix([("system", rules), ("user", "And why?")])))
        #expect(found.contains(rules) && !found.contains("Who"))
        #expect(try prefix([("user", "Who?"), ("assistant", "I."), ("user", "Who?")]) == nil)
        #expect(try prefix([("system", rules)]) == nil)
    }

    @Test func `a completion says how many of its tokens others share`() async throws {
        let (shared, alone) = (try await server(), try await server(shares: false))
        func ask(_ server: ServerFixture, _ prompt: String, _ more: String) async throws -> ServerFixture.Answer {
            try await server.post(
                "/v1/completions", #"{"model":"mha","prompt":"\#(prompt)","temperature":0,"max_tokens":8\#(more)}"#)
        }
        for (index, rest) in ["one", "another"].enumerated() {
            let field = #","kv_prefix_tokens":\#(rules.utf8.count)"#
            let (found, expected) = (try await ask(shared, rules + rest, field), try await ask(alone, rules + rest, field))
            #expect(found.json?["choices"]?.array?[0]["text"]?.string == expected.json?["choices"]?.array?[0]["text"]?.string)
            let cached = found.json?["usage"]?["prompt_tokens_details"]?["cached_tokens"]?.int
            #expect(cached == (index == 0 ? 0 : rules.utf8.count))
        }
        for (server, field, message) in [
            (shared, #","kv_prefix_tokens":4"#, "'kv_prefix_tokens' is 4, expected 1 to 3"),
            (shared, #","kv_prefix_tokens":"all""#, "'kv_prefix_tokens' is not a whole number"),
            (
                shared, #","kv_prefix_tokens":2,"kv_evict":"knorm","kv_budget":24"#,
                "'kv_prefix_tokens' goes with the server's own eviction, and 'kv_evict' asks for another"
            ),
            (
                try await self.server(compresses: false), #","kv_prefix_tokens":2"#,
                "'kv_prefix_tokens' is not taken: the server runs without --compress-prefixes"
            ),
        ] {
            let answer = try await ask(server, "abc", field)
            #expect(answer.status == 400 && answer.error == message, "\(answer.text)")
        }
    }
}
