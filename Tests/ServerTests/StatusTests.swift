import Benchmarking
import JSON
import Testing

@testable import Server

@Suite struct StatusTests {
    @Test func `models, tokenizer, health, metrics, pool and page are given`() async throws {
        let server = try await ServerFixture()
        let models = try await server.send("GET", "/v1/models")
        #expect(models.json?["data"]?.array?.compactMap { $0["id"]?.string } == ["mha", "mqa"])
        #expect(models.json?["data"]?.array?[0]["max_model_len"]?.int == 256)
        let tokens = try await server.post("/tokenize", #"{"model":"mqa","prompt":"añ"}"#)
        #expect(tokens.json?["tokens"]?.array?.compactMap(\.int) == [97, 195, 177] && tokens.json?["count"]?.int == 3)
        let text = try await server.post("/detokenize", #"{"model":"mqa","tokens":[97,195,177]}"#)
        #expect(text.json?["prompt"]?.string == "añ")
        #expect(try await server.send("GET", "/tokenizer_info").json?["eos_token_id"]?.int == 256)
        #expect(try await server.send("GET", "/health").status == 200)
        let pool = try await server.send("GET", "/v1/kvlab/pool").json
        #expect(pool?["pages"]?.int == 4096 && pool?["map"]?["pages_per_cell"]?.int == 2)
        #expect(pool?["map"]?["runs"]?.array?.compactMap { $0.array?[0].int }.reduce(0, +) == 2048)
        #expect(pool?["models"]?.array?.compactMap { $0["bytes_per_token"]?.int } == [1024, 256])
        let page = try await server.send("GET", "/")
        #expect(
            page.status == 200 && page.text.contains("<title>kvlab</title>") && !page.text.contains("http://")
                && !page.text.contains("https://"))
        #expect(page.headers["content-security-policy"]?.contains("default-src 'none'") == true)
    }

    @Test func `metrics are whole and in Prometheus' format, and count a request once`() async throws {
        let server = try await ServerFixture { _, engine in engine.pageBytes = 1024 }
        _ = try await server.post(
            "/v1/completions", #"{"model":"mha","prompt":"abcdefgh","max_tokens":4,"ignore_eos":true,"n":3}"#)
        let text = try await server.send("GET", "/metrics").text
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.last == "")
        let sample = /([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)+)\})? (\S+)/
        var (kinds, values, family): ([String: String], [String: Double], String) = ([:], [:], "")
        for line in lines.dropLast() {
            let words = line.split(separator: " ", maxSplits: 3)
            if line.hasPrefix("# HELP ") {
                family = String(words[2])
                #expect(kinds[family] == nil && words.count == 4, "\(line)")
            } else if line.hasPrefix("# TYPE ") {
                #expect(words[2] == family && ["gauge", "counter", "histogram"].contains(words[3]), "\(line)")
                kinds[family] = String(words[3])
            } else {
                let match = try #require(try sample.wholeMatch(in: line), "\(line)")
                let value = try #require(Double(match.3), "\(line)")
                let name = String(match.1)
                let isOwn =
                    name == family
                    || kinds[family] == "histogram" && ["_bucket", "_sum", "_count"].contains { name == family + $0 }
                #expect(isOwn && value >= 0 && (kinds[family] != "counter" || name.hasSuffix("_total")), "\(line)")
                #expect(values.updateValue(value, forKey: String(line.dropLast(match.3.count + 1))) == nil, "\(line) twice")
                #expect(name.hasPrefix("vllm:") || name.hasPrefix("kvlab:"))
            }
        }
        let mine = #"model_name="mha""#
        for (name, value) in [
            (#"vllm:prompt_tokens_total{\#(mine)}"#, 8.0), (#"vllm:generation_tokens_total{\#(mine)}"#, 12),
            (#"vllm:generation_tokens_total{model_name="mqa"}"#, 0), ("vllm:num_requests_running", 0),
            (#"vllm:request_success_total{\#(mine),finished_reason="length"}"#, 1),
            (#"vllm:request_success_total{\#(mine),finished_reason="stop"}"#, 0),
            (#"vllm:time_to_first_token_seconds_count{\#(mine)}"#, 1), (#"vllm:inter_token_latency_seconds_count{\#(mine)}"#, 9),
            (#"vllm:e2e_request_latency_seconds_bucket{\#(mine),le="+Inf"}"#, 1),
            (#"vllm:request_queue_time_seconds_bucket{\#(mine),le="+Inf"}"#, 1), (#"kvlab:request_aborts_total{\#(mine)}"#, 0),
            (#"kvlab:http_responses_total{status="200"}"#, 1),
        ] { #expect(values[name] == value, "\(name)") }
        for (name, kind) in kinds where kind == "histogram" {
            let buckets = ["0.001", "0.1", "1.0", "60.0", "+Inf"].map { values["\(name)_bucket{\(mine),le=\"\($0)\"}"] ?? -1 }
            #expect(buckets == buckets.sorted() && buckets[4] == values["\(name)_count{\(mine)}"], "\(name)")
        }
    }

    @Test(arguments: [nil, 200.0]) func `a load test sees every token of every request`(rate: Double?) async throws {
        let server = try await ServerFixture { options, _ in options.apiKeys = ["k"] }
        var test = LoadTest()
        (test.port, test.apiKey, test.rate) = (server.port, "k", rate)
        (test.requests, test.concurrency, test.prompt, test.shared, test.output) = (12, 5, 40, 16, 9)
        let result = try await test.run(model: "mqa")
        #expect(result.answered == 12 && result.failed == 0)
        #expect(result.firstToken.p50 > 0 && result.firstToken.p99 >= result.firstToken.p50 && result.perToken.p50 >= 0)
        test.apiKey = "wrong"
        let refused = try await test.run(model: "mqa")
        #expect(refused.answered == 0 && refused.failed == 12)
    }
}
