import Kernels
import Models
import TestSupport
import Testing
import Text

@testable import Inference

@Suite struct CacheSpecTests {
    private let scratch = ScratchDirectory()

    /// The settings that a policy of heads needs beside its budget; empty for others.
    private func ranking(_ policy: String, _ config: ModelConfig = TinyModel.config()) throws -> String {
        guard let policy = EvictionPolicies.all.first(where: { $0.name == policy }) as? any HeadPolicy else { return "" }
        var settings = EvictionSettings()
        try settings.rank(policy, config, in: scratch)
        return settings.given.map { ",\($0.setting.key)=\($0.text)" }.joined()
    }

    @Test func `a configuration is read back from its description, for every encoding and policy`() throws {
        for encoding in CacheEncoding.all + CacheEncoding.mixed {
            let spec = try CacheSpec("dtype=\(encoding.name)")
            #expect(spec.encoding == encoding && !spec.evicts)
            #expect(try CacheSpec("\(spec)") == spec)
            // What is not set is the default.
            #expect(try CacheSpec("full", defaults: encoding) == spec)
            for policy in EvictionPolicies.names {
                let ranking = try ranking(policy)
                let budget = EvictionPolicies.namesWithoutBudget.contains(policy) ? "" : ",budget=100"
                let evicting = try CacheSpec("evict=\(policy)\(ranking)\(budget)", defaults: encoding)
                #expect("\(evicting)" == "dtype=\(encoding.name),evict=\(policy)\(budget)\(ranking)")
                #expect(try CacheSpec("\(evicting)") == evicting && evicting.evicts)
                var options = EngineOptions()
                try evicting.apply(to: &options)
                #expect(options.encoding == encoding && options.retention.name == policy)
            }
        }
        let all = "dtype=fp32,evict=snapkv,budget=25%,window=16,pool=max7,allocate=pyramid"
        #expect("\(try CacheSpec(all))" == all)
        let left = try CacheSpec("residual=64,dtype=kivi2")
        #expect(try left.encoding == CacheEncoding.kivi2.with(residual: 64) && "\(left)" == "dtype=kivi2,residual=64")
        #expect(try CacheSpec("full", defaults: left.encoding) == left && CacheSpec("\(left)") == left)
    }

    @Test func `settings by their keys make the configuration that their text makes`() throws {
        let text = "dtype=int8,evict=snapkv,budget=25%,window=16"
        let spec = try CacheSpec([("budget", "25%"), ("evict", "snapkv"), ("window", "16")], defaults: .int8)
        #expect(try spec == CacheSpec(text) && "\(spec)" == text)
        #expect(spec.evictionText == "snapkv 25%, window=16" && spec.policy == "snapkv")
        let full = try CacheSpec([], defaults: .int8)
        #expect(full == CacheSpec(keepingAllIn: .int8) && full.evictionText == "full" && full.policy == nil)
        // Two spellings of a value make one configuration.
        #expect(try CacheSpec("dtype=int8,evict=snapkv,budget=25.0%,window=+16") == spec)
    }

    @Test func `every option of evictions is declared as a setting of caches, and every example is a value`() throws {
        for option in EvictionOption.allCases {
            let setting = try #require(CacheSetting.eviction.first { $0.key == option.rawValue }, "\(option)")
            #expect("--" + setting.option == option.flag)
        }
        #expect(CacheSetting.eviction.count == EvictionOption.allCases.count + 1)
        for setting in CacheSetting.all {
            // A path may be any text.
            #expect(setting.takes(setting.example) && setting.takes("x y") == (setting.key == "scores"), "\(setting.key)")
            var settings = EvictionSettings()
            #expect(setting.text(settings) == nil)
            setting.set(&settings, setting.example)
            let isEviction = CacheSetting.eviction.contains { $0.key == setting.key }
            #expect(setting.text(settings) == (isEviction ? setting.example : nil), "\(setting.key)")
        }
    }

    private static let keys =
        "dtype, residual, evict, budget, sinks, recent, window, pool, interval, future, allocate, merge, scores, recovery, seed"

    @Test(arguments: [
        ("", "'' is no setting of a cache; use full, or KEY=VALUE with one of the keys \(keys)"),
        ("half", "'half' is no setting of a cache; use full, or KEY=VALUE with one of the keys \(keys)"),
        ("dtype=int8,residual=32", "a residual means nothing for int8, which encodes each token as it comes; leave it out"),
        ("dtype=kivi4,residual=x", "'x' is no residual, expected a whole number"),
        ("full,dtype=bf16", "'full' is no setting of a cache; use full, or KEY=VALUE with one of the keys \(keys)"),
        ("dtype=bf16,keep=3", "'keep=3' is no setting of a cache; use full, or KEY=VALUE with one of the keys \(keys)"),
        ("dtype=bf16,dtype=fp16", "'dtype' is set twice in 'dtype=bf16,dtype=fp16'"),
        ("evict=snapkv,budget=0", "'0' is no budget, expected slots, such as 512 or 25%"),
        ("evict=snapkv,budget=9,sinks=x", "'x' is no sinks, expected a whole number"),
        ("evict=h2o,budget=64,window=8", "\(InferenceError.foreignOption("--kv-window", policy: "h2o"))"),
        ("evict=h2o", "\(InferenceError.noBudget(policy: "h2o"))"),
        ("evict=h2o,budget=64,merge=sum", "'sum' is no merge, expected cam, d2o, kvmerger"),
        ("evict=fastgen,budget=64", "\(InferenceError.foreignOption("--kv-budget", policy: "fastgen"))"),
        ("evict=fastgen,recovery=0.9", "'0.9' is no recovery, expected a share such as 95%"),
        ("budget=9", "\(InferenceError.optionWithoutPolicy(option: "--kv-budget"))"),
    ])
    func `what is no configuration is answered with what would be`(text: String, sentence: String) throws {
        let error = #expect(throws: InferenceError.self) { try CacheSpec(text) }
        #expect(try #require(error).description == sentence)
    }

    @Test func `an unknown dtype or policy is answered with all of them`() throws {
        let dtype = #expect(throws: InferenceError.self) { try CacheSpec("dtype=int99") }
        let names = KVEncoding.all.map(\.name).joined(separator: ", ")
        #expect(
            try #require(dtype).description == "'int99' is no dtype, expected \(names), or such as int8+kivi4:8-15")
        let policy = #expect(throws: InferenceError.self) { try CacheSpec("evict=none,budget=9") }
        #expect(
            try #require(policy).description == "'none' is no evict, expected \(EvictionPolicies.names.joined(separator: ", "))")
    }

    @Test func `layers have the encodings that a name gives them, in runs`() throws {
        let named = try CacheEncoding(name: "int8+fp16:0+kivi4:2-3+kivi4:4+kivi4:9")
        #expect(
            (0..<11).map { named[$0].name }.joined(separator: " ")
                == "fp16 int8 kivi4 kivi4 kivi4 int8 int8 int8 int8 kivi4 int8")
        #expect(named.name == "int8+fp16:0+kivi4:2-4+kivi4:9" && CacheEncoding(named.name) == named)
        #expect(CacheEncoding(layers: (0..<11).map { named[$0] }) == named)
        #expect(CacheEncoding(layers: [.int8, .kivi4]) == (try CacheEncoding(name: "int8+kivi4:1")))
        // A residual is for the layers that encode blocks of tokens.
        let left = try CacheSpec("dtype=int8+kivi4:1,residual=64")
        #expect(left.encoding[0].residual == 0 && left.encoding[1].residual == 64)
        #expect(try CacheSpec("\(left)") == left && "\(left)" == "dtype=int8+kivi4:1,residual=64")
    }

    @Test(arguments: [
        ("int8+kivi4", "'kivi4' in 'int8+kivi4' names no layers, expected ENCODING:LAYER or ENCODING:FIRST-LAST"),
        ("int8+kivi4:", "'kivi4:' in 'int8+kivi4:' names no layers, expected ENCODING:LAYER or ENCODING:FIRST-LAST"),
        ("int8+kivi4:3-1", "'kivi4:3-1' in 'int8+kivi4:3-1' names no layers, expected ENCODING:LAYER or ENCODING:FIRST-LAST"),
        ("int8+int8:3", "'int8:3' in 'int8+int8:3' gives layers the encoding that all others have; leave it out"),
        ("int8+kivi4:0-3+fp16:3", "layer 3 has two encodings in 'int8+kivi4:0-3+fp16:3'"),
    ])
    func `a name that does not say which layers is refused`(name: String, sentence: String) throws {
        let error = #expect(throws: InferenceError.self) { try CacheSpec("dtype=\(name)") }
        #expect(try #require(error).description == sentence)
    }

    @Test func `an encoding of layers that a model has not is refused before any work`() throws {
        func refusal(_ name: String, _ design: TinyDesigns) throws -> String? {
            let (encoding, config) = (try CacheEncoding(name: name), try design.config)
            do { try config.kvGeometry(encoding).check(encoding) } catch { return "\(error)" }
            return nil
        }
        #expect(try refusal("int8+kivi4:3", .gqa) == nil)
        #expect(try refusal("int8+kivi4:3-4", .gqa) == "'int8+kivi4:3-4' names layer 4, the model's are 0 to 3")
        #expect(
            try refusal("int8+kivi4:1", .crossLayer)
                == "'int8+kivi4:1' names layer 1, which reads the cache of layer 0 and has none of its own")
        #expect(
            try refusal("int8+q4_0:2", .gqa)
                == "q4_0 stores blocks of 32 elements, layer 2 caches vectors of 12; use another --kv-dtype")
    }

    @Test func `bytes and capacity of several encodings are the layers' own`() throws {
        let config = try TinyDesigns.gqa.config
        let encoding = try CacheEncoding(name: "int8+kivi4:1-2")
        let (eight, four) = (config.kvBytes(CacheEncoding(.int8), tokens: 60), config.kvBytes(CacheEncoding(.kivi4), tokens: 60))
        #expect(config.kvBytes(encoding, tokens: 60) * 2 == eight + four)
        let pageBytes = PageSize.bytes(for: [config], encoding)
        let capacity = try CacheCapacity.measure(config, encoding: encoding, bytes: 1 << 20, pageBytes: pageBytes, context: 60)
        let pages = try #require(PageSize.pages(tokens: 60, of: config.kvGeometry(encoding), pageBytes: pageBytes))
        #expect(capacity.allocatedBytes == capacity.sequences * pages * pageBytes)
        #expect(capacity.sequences == (1 << 20) / pageBytes / pages)
    }

    @Test(arguments: EvictionPolicies.names, [40, 60])
    func `the bytes held of a prompt are those that the paged cache holds`(policy: String, context: Int) throws {
        let config = TinyModel.config(maxSequence: 192)
        let hasBudget = !EvictionPolicies.namesWithoutBudget.contains(policy)
        let spec = try CacheSpec(
            "evict=\(policy)\(hasBudget ? ",budget=34" : ",recovery=60%"),dtype=bf16\(ranking(policy, config))")
        var retention = try #require(try spec.retention() as? EvictionRetention)
        (retention.instruction, retention.classes) = (.tiny, .tiny)
        let model = try ServingModel(config: config, parameters: TinyModel.parameters(config))
        var cache = try PagedKVCache(
            config: config, encoding: spec.encoding, retention: retention, pageBytes: 1 << 10, tokens: 64, chunk: 64)
        cache.add(0)
        cache.setPromptLength(0, context)
        for range in [0..<context, context..<60] where !range.isEmpty {
            let tokens = range.map { Int32($0 % 61) }
            _ = model.logits(RaggedBatch(sequences: [0], counts: [tokens.count], tokens: tokens), cache: &cache)
        }
        // Without a budget nothing is known before: the bytes of all slots.
        let counted = try spec.bytesHeld(config, tokens: 60, context: context)
        #expect(hasBudget ? cache.bytesHeld.logical == counted : counted == config.kvBytes(spec.encoding, tokens: 60))
        #expect(cache.bytesHeld.logical < config.kvBytes(spec.encoding, tokens: 60))
    }

    @Test(arguments: ["snapkv", "h2o", "streaming-llm"])
    func `an eviction behind a context has not seen the question`(policy: String) async throws {
        let config = TinyModel.config()
        let spec = try CacheSpec("evict=\(policy),budget=34")
        let model = try ServingModel(config: config, parameters: TinyModel.parameters(config))
        let prompt = (0..<56).map { Int32($0 * 7 % 61) }
        // The context, the decision, then the question and the output token by token.
        var cache = try PagedKVCache(
            config: config, encoding: spec.encoding, retention: try spec.retention(), pageBytes: 1 << 10, tokens: 64, chunk: 64)
        cache.add(0)
        cache.setPromptLength(0, 48)
        var expected = prompt
        var logits = model.logits(RaggedBatch(sequences: [0], counts: [48], tokens: Array(prompt[..<48])), cache: &cache)
        for index in 48..<62 {
            if index >= prompt.count {
                expected.append(LogitRows.argmax(logits, rows: 1, width: config.vocabularySize)[0])
            }
            logits = model.logits(RaggedBatch(sequences: [0], counts: [1], tokens: [expected[index]]), cache: &cache)
        }
        var options = EngineOptions()
        (options.cacheBytes, options.batchInvariant) = (4 << 20, true)
        try spec.apply(to: &options)
        let engine = try Engine(
            models: [EngineModel(name: "m", model: model, tokenizer: ByteTokenizer(), stopIDs: [])], options: options)
        var request = GenerationRequest(prompt: prompt)
        (request.sampling.temperature, request.sampling.maxTokens, request.contextTokens) = (0, 6, 48)
        let generation = try await engine.submit(request)
        while await engine.step() {}
        var drawn: [Int32] = []
        for await event in generation.events { if case .token(_, let token, _) = event { drawn.append(token.id) } }
        #expect(drawn == Array(expected[56...]))
    }
}
