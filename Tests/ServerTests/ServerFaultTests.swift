import Foundation
import FoundationNetworking
import Inference
import JSON
import Random
import TestSupport
import Testing

@testable import Server

@Suite struct ServerFaultTests {
    @Test func `what is wrong with a request is said in OpenAI's form, and never breaks the server`() async throws {
        let server = try await ServerFixture { options, _ in options.limits.bodyBytes = 100_000 }
        func completion(_ rest: String) -> String { #"{"model":"mha","prompt":"a","max_tokens":2\#(rest)}"# }
        let long = Array(repeating: "1", count: 300).joined(separator: ",")
        let biases = (0..<2000).map { #""\#($0)":1"# }.joined(separator: ",")
        let cases: [(String, String, Int, String)] = [
            ("/v1/completions", "{", 400, "JSON"), ("/v1/completions", "[]", 400, "object"), ("/v1/completions", "", 400, "JSON"),
            ("/v1/completions", #"{"model":"gpt","prompt":"a"}"#, 404, "does not exist"),
            ("/v1/completions", #"{"prompt":"a"}"#, 400, "'model' is missing"),
            ("/v1/completions", #"{"model":"mha"}"#, 400, "'prompt' is missing"),
            ("/v1/completions", #"{"model":7,"prompt":"a"}"#, 400, "'model' is not a string"),
            ("/v1/completions", #"{"model":"mha","prompt":{}}"#, 400, "prompt"),
            ("/v1/completions", #"{"model":"mha","prompt":[]}"#, 400, "prompt"),
            ("/v1/completions", #"{"model":"mha","prompt":[[]]}"#, 400, "prompt"),
            ("/v1/completions", #"{"model":"mha","prompt":[1,2,100000]}"#, 400, "100000"),
            ("/v1/completions", #"{"model":"mha","prompt":[-1]}"#, 400, "-1"),
            ("/v1/completions", #"{"model":"mha","prompt":[\#(long)]}"#, 400, "300 tokens"),
            ("/v1/completions", completion(#","n":1000000000000"#), 400, "'n'"),
            ("/v1/completions", completion(#","n":0"#), 400, "'n'"),
            ("/v1/completions", completion(#","n":1\#(String(repeating: "0", count: 30))"#), 400, "expected 1 to 128"),
            ("/v1/completions", completion(#","seed":9223372036854775808"#), 400, "expected -9223372036854775808 to"),
            ("/v1/completions", completion(#","stop_token_ids":[-1]"#), 400, "stop_token_ids"),
            ("/v1/completions", completion(#","stream":true,"stream_options":{"include_usage":1}"#), 400, "include_usage"),
            ("/v1/completions", completion(#","best_of":99999"#), 400, "best_of"),
            ("/v1/completions", completion(#","logprobs":100000"#), 400, "logprobs"),
            ("/v1/completions", completion(#","n":100,"max_tokens":200,"logprobs":100"#), 400, "max_tokens"),
            (
                "/v1/completions",
                #"{"model":"mha","n":100,"prompt":[\#(Array(repeating: "\"x\"", count: 11).joined(separator: ","))]}"#,
                400, "1100 outputs"
            ),
            (
                "/v1/completions",
                #"{"model":"mha","use_beam_search":true,"best_of":128,"prompt":[\#(Array(repeating: "\"x\"", count: 9).joined(separator: ","))]}"#,
                400, "1152 outputs"
            ),
            (
                "/v1/completions",
                #"{"model":"mha","echo":true,"logprobs":100,"max_tokens":0,"prompt":[\#(Array(repeating: "[\(long)]", count: 80).joined(separator: ","))]}"#,
                400, "log-probabilities"
            ),
            ("/v1/chat/completions", #"{"model":"mha","messages":[{"role":"user","content":"x"}],"n":129}"#, 400, "'n'"),
            (
                "/v1/chat/completions",
                #"{"model":"mha","messages":[{"role":"user","content":"x"}],"n":128,"logprobs":true,"top_logprobs":100}"#, 400,
                "at most 2097152"
            ),
            ("/v1/completions", completion(#","temperature":NaN"#), 400, "JSON"),
            ("/v1/completions", completion(#","temperature":1e999"#), 400, "temperature"),
            ("/v1/completions", completion(#","temperature":-1"#), 400, "temperature"),
            ("/v1/completions", completion(#","top_p":"x""#), 400, "top_p"),
            ("/v1/completions", completion(#","stop":[1]"#), 400, "stop"),
            (
                "/v1/completions", completion(#","stop":[\#(Array(repeating: "\"x\"", count: 5000).joined(separator: ","))]"#),
                400, "stop"
            ),
            ("/v1/completions", completion(#","logit_bias":{\#(biases)}"#), 400, "logit_bias"),
            ("/v1/completions", completion(#","logit_bias":{"x":1}"#), 400, "logit_bias"),
            ("/v1/completions", completion(#","logit_bias":{"99999999":1}"#), 400, "logit_bias"),
            ("/v1/completions", completion(#","stream":"yes""#), 400, "stream"),
            ("/v1/chat/completions", #"{"model":"mha","messages":[]}"#, 400, "messages"),
            ("/v1/chat/completions", #"{"model":"mha","messages":[{"role":"pope","content":"x"}]}"#, 400, "messages"),
            ("/tokenize", #"{"model":"nope","prompt":"x"}"#, 404, "nope"),
            ("/detokenize", #"{"tokens":[1,999999]}"#, 400, "tokens"),
            ("/v1/completions", String(repeating: " ", count: 200_000), 413, "larger"), ("/nothing", "{}", 404, "/nothing"),
        ]
        for (path, body, status, part) in cases {
            let answer = try await server.post(path, body)
            #expect(
                answer.status == status && answer.error?.contains(part) == true,
                "\(path) \(body.prefix(80)): \(answer.status) \(answer.text.prefix(300))")
        }
        // An empty prompt and one of special tokens alone are answered.
        for prompt in [#""""#, "[256]", "[256,256]"] {
            #expect(
                try await server.post("/v1/completions", #"{"model":"mha","prompt":\#(prompt),"max_tokens":2}"#).status == 200)
        }
        #expect(try await server.becomesIdle())
    }

    @Test func `what is asked for and cannot be done is refused, what asks for nothing is not`() throws {
        let refused = [
            #""response_format":{"type":"json_object"}"#, #""guided_json":{}"#, #""guided_regex":"a""#, #""guided_choice":["a"]"#,
            #""guided_grammar":"x""#, #""structured_outputs":{"json":{}}"#, #""chat_template":"x""#, #""prompt_logprobs":1"#,
            #""truncate_prompt_tokens":5"#, #""continue_final_message":true"#, #""tools":[{}]"#, #""tool_choice":"required""#,
            #""min_tokens":3"#, #""suffix":"x""#,
        ]
        let taken = [
            #""response_format":{"type":"text"}"#, #""guided_json":null"#, #""continue_final_message":false"#, #""tools":[]"#,
            #""tool_choice":"none""#, #""min_tokens":0"#,
        ]
        func error(_ field: String) -> APIError? {
            do throws(APIError) {
                _ = try RequestFields(Array("{\(field)}".utf8)).sampling(ServerLimits(), maxTokens: 16)
                return nil
            } catch { return error }
        }
        for field in refused {
            let name = field.split(separator: "\"")[0]
            #expect(error(field)?.message == "'\(name)' is not supported" && error(field)?.status == .badRequest, "\(field)")
        }
        for field in taken { #expect(error(field) == nil, "\(field)") }
        let both = try RequestFields(Array(#"{"max_completion_tokens":3,"max_tokens":7}"#.utf8))
        #expect(try both.sampling(ServerLimits(), maxTokens: 16).options.maxTokens == 3)
    }

    @Test func `a request chooses its eviction where the server lets it`() throws {
        func read(_ fields: String, allowed: Bool = true) throws(APIError) -> String? {
            var limits = ServerLimits()
            limits.requestsMayEvict = allowed
            return try RequestFields(Array("{\(fields)}".utf8)).retention(limits)?.name
        }
        #expect(try read("") == nil && read("", allowed: false) == nil)
        #expect(try read(#""kv_evict":"tova","kv_budget":64"#) == "tova")
        #expect(try read(#""kv_evict":"snapkv","kv_budget":"25%""#) == "snapkv")
        for (fields, allowed, message) in [
            (#""kv_evict":"tova","kv_budget":64"#, false, "'kv_evict' is not taken: the server runs without --allow-kv-evict"),
            (#""kv_budget":64"#, false, "'kv_budget' is not taken: the server runs without --allow-kv-evict"),
            (#""kv_budget":64"#, true, "'kv_budget' means nothing without 'kv_evict'"),
            (#""kv_evict":"tova""#, true, "'kv_evict' needs 'kv_budget' beside it"),
            (#""kv_evict":7,"kv_budget":64"#, true, "'kv_evict' is not a string"),
            (
                #""kv_evict":"tova","kv_budget":"many""#, true,
                "'kv_budget' is neither a number of slots nor a share of the prompt such as \"25%\""
            ),
            (
                #""kv_evict":"snapkv","kv_budget":20"#, true,
                "'kv_budget' is 20, expected at least 33: 'snapkv' keeps 0 sinks and the newest 32, and one more"
            ),
            (
                #""kv_evict":"fifo","kv_budget":20"#, true,
                "'kv_evict' is 'fifo', expected one of \(EvictionPolicies.names.joined(separator: ", "))"
            ),
        ] {
            do throws(APIError) {
                _ = try read(fields, allowed: allowed)
                Issue.record("\(fields) was taken")
            } catch { #expect(error.message == message && error.status == .badRequest) }
        }
    }

    @Test func `more prompts than the queue holds are refused for good`() async throws {
        let server = try await ServerFixture { _, engine in engine.limits.waiting = 2 }
        let answer = try await server.post("/v1/completions", #"{"model":"mha","prompt":["a","b","c"],"max_tokens":1}"#)
        #expect(answer.status == 400 && answer.error?.contains("room for 2") == true)
    }

    @Test func `fifty thousand mangled bodies are refused or read, without a fault`() throws {
        let models = [
            ServedModel(
                id: "mha", tokenizer: TextTokenizer(), bosID: nil, eosIDs: [256], chatFormat: .named(.plain), attention: "MHA")
        ]
        let seeds = [
            #"{"model":"mha","prompt":"Hello","max_tokens":8,"temperature":0.5,"n":2,"best_of":3,"stop":["a","b"],"logprobs":3,"echo":true,"seed":7}"#,
            #"{"model":"mha","prompt":[[1,2,3],[4]],"logit_bias":{"5":-100,"6":3.5},"stream":true,"stream_options":{"include_usage":true},"top_p":0.9,"top_k":-1}"#,
            #"{"model":"mha","messages":[{"role":"system","content":"x"},{"role":"user","content":[{"type":"text","text":"y"}]}],"logprobs":true,"top_logprobs":5}"#,
        ].map { Array($0.utf8) }
        let pieces = [
            "null", "-1", "1e400", "99999999999999999999", "{}", "[]", "\"\"", "true", "\\u0000", "[[", "NaN", "\u{fffd}", ",,",
            "0.1",
        ].map { Array($0.utf8) }
        var random = SeededGenerator(seed: 11)
        func draw(_ limit: Int) -> Int { Int(random.uniform() * Double(limit)) }
        var (refused, read) = (0, 0)
        for _ in 0..<50_000 {
            var body = seeds[draw(seeds.count)]
            for _ in 0...draw(4) where !body.isEmpty {
                let place = draw(body.count)
                switch draw(4) {
                case 0: body[place] = UInt8(draw(256))
                case 1: body.removeSubrange(place..<min(body.count, place + 1 + draw(12)))
                case 2: body.insert(contentsOf: pieces[draw(pieces.count)], at: place)
                default: body.replaceSubrange(place..<min(body.count, place + draw(8)), with: pieces[draw(pieces.count)])
                }
            }
            do throws(APIError) {
                let fields = try RequestFields(body)
                if fields.json.has("messages") {
                    let chat = try ChatRequest(fields, models: models, limits: ServerLimits(), capacity: { _ in 256 }, tenant: "")
                    _ = try? chat.engineRequest.validate(vocabulary: 257, capacity: 256)
                } else {
                    let completion = try CompletionRequest(
                        fields, models: models, limits: ServerLimits(), capacity: { _ in 256 }, tenant: "")
                    for request in completion.requests { _ = try? request.validate(vocabulary: 257, capacity: 256) }
                }
                read += 1
            } catch {
                #expect((400..<500).contains(error.status.code) && !error.message.isEmpty)
                refused += 1
            }
        }
        #expect(refused > 1000 && read > 1000)
    }

    @Test func `without the key only health and the page are given`() async throws {
        let server = try await ServerFixture { options, _ in options.apiKeys = ["secret", "other"] }
        #expect(try await server.send("GET", "/health").status == 200)
        for headers in [
            [:], ["Authorization": "Bearer wrong"], ["Authorization": "secret"], ["Authorization": "Bearer secret2"],
            ["Authorization": "Bearer "], ["Authorization": "Bearer"],
        ] {
            for path in ["/v1/models", "/metrics", "/v1/kvlab/pool", "/tokenizer_info"] {
                let answer = try await server.send("GET", path, headers: headers)
                #expect(answer.status == 401 && answer.error != nil, "\(path)")
            }
        }
        #expect(try await server.send("GET", "/v1/models", headers: ["Authorization": "Bearer secret"]).status == 200)
        #expect(try await server.send("GET", "/v1/models", headers: ["Authorization": "bearer other"]).status == 200)
    }

    @Test func `no tenant can name another's prefixes, by key or by salt`() async throws {
        let server = try await ServerFixture { options, _ in options.apiKeys = ["a", "b"] }
        let prompt = String(repeating: "once upon a time ", count: 8)
        func cached(_ key: String, _ salt: String? = nil) async throws -> Int? {
            let rest = salt.map { #","cache_salt":\#(JSONValue.quoted($0))"# } ?? ""
            let answer = try await server.post(
                "/v1/completions", #"{"model":"mha","prompt":"\#(prompt)","max_tokens":1\#(rest)}"#,
                headers: ["Authorization": "Bearer " + key])
            return answer.json?["usage"]?["prompt_tokens_details"]?["cached_tokens"]?.int
        }
        #expect(try await cached("a") == 0)
        #expect(try #require(await cached("a")) > 0)
        #expect(try await cached("b") == 0)
        #expect(try await cached("a", "salt") == 0)
        #expect(try #require(await cached("a", "salt")) > 0)
        // What b may write into its salt names no prefix of a.
        let key = try #require(KeyRing(["a"], admin: nil).caller(authorization: "Bearer a")).tenant
        for salt in ["Bearer a", "salt", key, "Bearer a\u{0}salt"] { #expect(try await cached("b", salt) == 0, "\(salt)") }
    }

    @Test func `texts that cannot fit are refused before they are tokenized`() async throws {
        let model = ServedModel(
            id: "m", tokenizer: StubbornTokenizer(), bosID: nil, eosIDs: [], chatFormat: .named(.plain), attention: "MHA")
        let long = String(repeating: "x", count: 257)
        for body in [
            #"{"model":"m","prompt":"\#(long)"}"#, #"{"model":"m","prompt":["x","\#(long)"]}"#,
            #"{"model":"m","messages":[{"role":"user","content":"\#(long)"}]}"#,
        ] {
            let error = #expect(throws: APIError.self) {
                let fields = try RequestFields(Array(body.utf8))
                if fields.json.has("messages") {
                    _ = try ChatRequest(fields, models: [model], limits: ServerLimits(), capacity: { _ in 64 }, tenant: "")
                } else {
                    _ = try CompletionRequest(fields, models: [model], limits: ServerLimits(), capacity: { _ in 64 }, tenant: "")
                }
            }
            #expect(error?.code == "context_length_exceeded" && error?.message.contains("bytes") == true)
        }
        let server = try await ServerFixture()
        let tokens = try await server.post("/tokenize", #"{"prompt":"\#(String(repeating: "y", count: 1 << 20))"}"#)
        #expect(tokens.text.hasPrefix(#"{"count":1048576,"#))
        #expect(
            try await server.post("/tokenize", #"{"prompt":"\#(String(repeating: "y", count: (1 << 20) + 1))"}"#).status == 400)
    }

    @Test func `a full queue says when to come again`() async throws {
        let server = try await ServerFixture { _, engine in
            engine.limits.waiting = 1
            engine.limits.running = 1
        }
        let body = #"{"model":"mha","prompt":"a","max_tokens":120,"ignore_eos":true,"stream":false}"#
        let stream = body.replacingOccurrences(of: "false}", with: "true}")
        let answers = try await withThrowingTaskGroup(of: ServerFixture.Answer.self) { group in
            for index in 0..<8 { group.addTask { try await server.post("/v1/completions", index % 2 == 0 ? body : stream) } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        let refused = answers.filter { $0.status == 429 }
        #expect(!refused.isEmpty && refused.allSatisfy { $0.headers["retry-after"] == "1" && $0.error != nil })
        #expect(answers.allSatisfy { $0.status == 200 || $0.status == 429 })
    }

    @Test func `a client that leaves frees its pages`() async throws {
        let server = try await ServerFixture { options, engine in
            engine.prefixSharing = false
            options.limits.seconds = 60
        }
        for stream in [true, false] {
            let tasks = (0..<4).map { _ in
                Task {
                    try await server.post(
                        "/v1/completions",
                        #"{"model":"mha","prompt":"abcdef","max_tokens":240,"ignore_eos":true,"n":16,"stream":\#(stream)}"#)
                }
            }
            try await Task.sleep(for: .milliseconds(60))
            for task in tasks { task.cancel() }
            for task in tasks { _ = try? await task.value }
            #expect(try await server.becomesIdle())
        }
        let statistics = await server.engine.statistics
        #expect(statistics.freePages == statistics.pages)
        #expect(await server.engine.inconsistency() == nil)
    }
}

import Inference
import Text

private typealias TextTokenizer = ByteTokenizer

/// Tokens of up to four bytes, and a trap in its encoder.
private struct StubbornTokenizer: Tokenizer {
    var vocabularySize: Int { 5 }
    var bosID: Int32? { nil }
    var eosID: Int32? { nil }
    func encode(_ text: String) -> [Int32] {
        Issue.record("tokenized \(text.utf8.count) bytes")
        return []
    }
    func decode(_ ids: [Int32]) -> [UInt8] { ids.flatMap { [UInt8](repeating: 120, count: Int($0)) } }
    var serialized: SerializedTokenizer { SerializedTokenizer(kind: "byte", bytes: []) }
}
