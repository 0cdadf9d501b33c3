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
        _ = try await server.post("/v1/completions", #"{"model":"mha","prompt":"abcdefgh","max_tokens":4,"ignore_eos":true}"#)
        let metrics = try await server.send("GET", "/metrics").text
        for line in [
            "vllm:prompt_tokens_total 8", "vllm:generation_tokens_total 4", "vllm:num_requests_running 0.0",
            "vllm:request_success_total{finished_reason=\"length\"} 1", "vllm:time_to_first_token_seconds_count 1",
            "vllm:inter_token_latency_seconds_count 3", "# TYPE vllm:kv_cache_usage_perc gauge",
        ] {
            #expect(metrics.contains(line + "\n"), "\(line)")
        }
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
