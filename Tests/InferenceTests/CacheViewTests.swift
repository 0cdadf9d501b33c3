import Kernels
import Models
import TestSupport
import Testing

@testable import Inference

/// The training form through a view of a compressed cache, against the serving form through the cache itself.
@Suite struct CacheViewTests {
    private static let tokens = 101
    private static let ids = (0..<tokens).map { (index: Int) -> Int32 in Int32(index * (7 * index + 17) % 61) }
    private let prompt = 40

    private func config(_ design: TinyDesigns, _ encoding: CacheEncoding = .float32) throws -> ModelConfig {
        var config = try design.config
        config.maxSequence = 112
        // Widths that llama.cpp's blocks fit.
        if encoding[0].keys.blockElements == 32 { config.headDim = .all(32) }
        return config
    }

    /// The logits of every position on the serving path, [tokens, vocab], cut at decisions and at 40 tokens.
    private func served(
        _ config: ModelConfig, _ ids: [Int32], _ encoding: CacheEncoding = .float32, _ retention: any Retention = FullRetention()
    ) throws -> [Float] {
        let model = try ServingModel(config: config, parameters: TinyModel.parameters(config))
        var cache = try PagedKVCache(
            config: config, encoding: encoding, retention: retention, pageBytes: PageSize.bytes(for: [config], encoding),
            tokens: ids.count, chunk: prompt)
        cache.add(0)
        cache.setPromptLength(0, prompt)
        var logits: [Float] = []
        var start = 0
        while start < ids.count {
            let count = min(prompt, ids.count - start, cache.tokensToDecision(0) ?? .max)
            let step = RaggedBatch(sequences: [0], counts: [count], tokens: Array(ids[start..<start + count]))
            logits += model.logits(step, rows: (0..<Int32(count)).map { $0 }, cache: &cache).array()
            start += count
        }
        return logits
    }

    /// The logits of every position of the training form through the view of the cache, [batch·seq, vocab].
    private func trained(
        _ config: ModelConfig, _ input: ModelInput, _ encoding: CacheEncoding = .float32,
        _ retention: any Retention = FullRetention(), recompute: Recompute = .none
    ) throws -> [Float] {
        var input = input
        let parameters = TinyModel.parameters(config)
        input.cache = try CacheView(
            of: input, ServingModel(config: config, parameters: parameters), encoding, retention, prompt: prompt)
        var model = try DecoderLM(config: config, parameters: parameters)
        model.compute.recompute = recompute
        return model.logits(input).values
    }

    private static func deviation(_ a: some Collection<Float>, _ b: some Collection<Float>) -> Double {
        (zip(a, b).reduce(0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) } / Double(max(a.count, 1))).squareRoot()
    }

    /// What two paths differ by beside what the cache changes, over all positions and at the worst of them.
    ///
    /// A projection that lies on the edge between two codes is encoded to either: a step of one element of thousands.
    private func shares(_ found: [Float], _ expected: [Float], _ whole: [Float]) -> (all: Double, worst: Double) {
        let rows = (0..<found.count / 61).map { row -> Double in
            let row = row * 61..<(row + 1) * 61
            return Self.deviation(found[row], expected[row]) / max(Self.deviation(expected[row], whole[row]), 2e-5)
        }
        return (Self.deviation(found, expected) / max(Self.deviation(expected, whole), 2e-5), rows.max() ?? 0)
    }

    @Test(arguments: TinyDesigns.allCases, CacheEncoding.all + CacheEncoding.mixed)
    func `training through an encoding gives the logits of serving in it`(design: TinyDesigns, encoding: CacheEncoding) throws {
        for residual in encoding.blockTokens > 1 ? [0, 32] : [0] {
            let encoding = try encoding.with(residual: residual)
            let config = try config(design, encoding)
            guard (try? config.kvGeometry(encoding).check(encoding)) != nil else { continue }
            let found = try trained(config, ModelInput(batch: 1, seq: Self.tokens, tokens: Self.ids), encoding)
            let (expected, whole) = (try served(config, Self.ids, encoding), try served(config, Self.ids))
            let shares = shares(found, expected, whole)
            #expect(shares.all < 0.1 && shares.worst < 0.7, "\(shares)")
            // The encoding changes what comes out.
            #expect(encoding == .float32 || Self.deviation(expected, whole) > 1e-5)
        }
    }

    private let scratch = ScratchDirectory()

    private func retention(_ policy: any EvictionPolicy, _ config: ModelConfig) throws -> any Retention {
        var settings = EvictionSettings(policy, budget: .tokens(20))
        if policy.options.contains(.interval) { settings.interval = 16 }
        if policy.options.contains(.window) { settings.window = 8 }
        if let policy = policy as? any HeadPolicy { try settings.rank(policy, config, in: scratch) }
        var retention = try #require(try settings.retention() as? EvictionRetention)
        (retention.instruction, retention.classes) = (.tiny, .tiny)
        return retention
    }

    @Test(arguments: TinyDesigns.allCases, EvictionPolicies.all.map(\.name))
    func `training through an eviction gives the logits of serving with it`(design: TinyDesigns, name: String) throws {
        let policy = try #require(EvictionPolicies.all.first { $0.name == name })
        let config = try config(design)
        let retention = try retention(policy, config)
        let input = ModelInput(batch: 1, seq: Self.tokens, tokens: Self.ids)
        do throws(InferenceError) { try retention.check(config, .float32) } catch {
            #expect(throws: error) { try trained(config, input, .float32, retention) }
            return
        }
        let (expected, whole) = (try served(config, Self.ids, .float32, retention), try served(config, Self.ids))
        for recompute in [Recompute.none, .block] {
            let found = try trained(config, input, .float32, retention, recompute: recompute)
            // Sums in another order.
            #expect(differences(found, expected, absolute: 1e-4) == [])
        }
        // Evicted slots are seen up to the prompt's end, and change what comes behind it.
        #expect(expected.prefix(prompt * 61) == whole.prefix(prompt * 61))
        #expect(Self.deviation(expected, whole) > 1e-3)
    }

    @Test(arguments: [CacheEncoding.int8, .bfloat16], ["h2o", "streaming-llm", "snapkv", "knorm"])
    func `training through an encoding and an eviction gives the logits of serving with both`(
        encoding: CacheEncoding, name: String
    ) throws {
        let policy = try #require(EvictionPolicies.all.first { $0.name == name })
        for design in [TinyDesigns.gqa, .latent, .crossLayer, .hybrid] {
            let config = try config(design)
            let retention = try retention(policy, config)
            let found = try trained(config, ModelInput(batch: 1, seq: Self.tokens, tokens: Self.ids), encoding, retention)
            let expected = try served(config, Self.ids, encoding, retention)
            let shares = shares(found, expected, try served(config, Self.ids, .float32, retention))
            #expect(shares.all < 0.1 && shares.worst < 0.7, "\(design): \(shares)")
        }
    }

    @Test(arguments: TinyDesigns.allCases.filter { $0 != .latentLearned })
    func `each sequence of a batch and each of its documents is a sequence of the cache`(design: TinyDesigns) throws {
        let documents = [0..<101, 0..<64, 64..<101]
        var starts = [Int32](repeating: 0, count: 2 * Self.tokens)
        for row in 64..<101 { starts[Self.tokens + row] = 64 }
        let tokens = Self.ids + Self.ids.reversed()
        let input = ModelInput(batch: 2, seq: Self.tokens, tokens: tokens, keyStarts: starts)
        for (encoding, retention) in [
            (CacheEncoding.float32, try retention(HeavyHitters(), config(design))),
            (.int8, try retention(StreamingLLM(), config(design))),
            (.kivi4, FullRetention()),
        ] {
            let config = try config(design)
            guard (try? config.kvGeometry(encoding).check(encoding)) != nil,
                (try? retention.check(config, encoding)) != nil
            else { continue }
            let found = try trained(config, input, encoding, retention)
            for (number, document) in documents.enumerated() {
                let first = (number == 0 ? 0 : Self.tokens) + document.lowerBound
                let ids = Array(tokens[first..<first + document.count])
                let expected = try served(config, ids, encoding, retention)
                let own = Array(found[first * 61..<(first + document.count) * 61])
                let shares = shares(own, expected, try served(config, ids, .float32, retention))
                #expect(shares.all < 0.1, "\(encoding.name), document \(number): \(shares)")
            }
        }
    }
}
