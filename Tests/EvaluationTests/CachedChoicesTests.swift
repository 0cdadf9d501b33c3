import Checkpoints
import Foundation
import Kernels
import Models
import TestSupport
import Testing
import Text

@testable import Evaluation
@testable import Inference

@Suite struct CachedChoicesTests {
    private let config = TinyModel.config(vocabulary: 257)

    private func cache(_ spec: String, chunk: Int = 256) throws -> EvaluationCache {
        let spec = try CacheSpec(spec)
        let retention = try spec.retention()
        var cache = EvaluationCache(
            encoding: spec.encoding, retention: retention,
            pageBytes: PageSize.bytes(for: [config], spec.encoding, under: retention))
        cache.chunk = chunk
        return cache
    }

    private func score(
        _ items: [ChoiceItem], _ spec: String, isQueryAware: Bool = false, chunk: Int = 256, forks: Int = 8
    ) throws -> ChoiceScore {
        try ChoiceScore.evaluate(
            ServingModel(config: config, parameters: TinyModel.parameters(config)), tokenizer: ByteTokenizer(), bosID: nil,
            prefixID: nil, items, through: cache(spec, chunk: chunk), isQueryAware: isQueryAware, forks: forks)
    }

    /// Questions behind two beginnings, with choices of one token and of several.
    private var items: [ChoiceItem] {
        (0..<6).map { number in
            let beginning = number < 4 ? "one: a\ntwo: b\n" : "uno: c\n"
            return ChoiceItem(
                context: beginning + "no. \(number)? ", choices: number % 2 == 0 ? ["a", "b", "c"] : ["ab", "b", "cde"],
                answer: number % 3, promptBytes: beginning.utf8.count)
        }
    }

    @Test(arguments: [(256, 8), (5, 2), (1, 1)])
    func `through a cache of all tokens in fp32 scores are those of whole sequences`(chunk: Int, forks: Int) throws {
        let plain = try ChoiceScore.evaluate(
            DecoderLM(config: config, parameters: TinyModel.parameters(config)), tokenizer: ByteTokenizer(), bosID: nil,
            prefixID: nil, items)
        for spec in ["full", "evict=streaming-llm,budget=64"] {
            let cached = try score(items, spec, chunk: chunk, forks: forks)
            #expect(cached.results == plain.results)
            #expect(abs(cached.perplexity / plain.perplexity - 1) < 1e-5)
            #expect((cached.bytesHeld ?? 0) > 0)
        }
    }

    @Test func `evictions decide behind the beginning, query-aware ones before the question's last token`() throws {
        let spec = "evict=snapkv,budget=6,window=2"
        let (full, before, behind) = (
            try score(items, "full"), try score(items, spec), try score(items, spec, isQueryAware: true)
        )
        #expect(Set([full.perplexity, before.perplexity, behind.perplexity]).count == 3)
        let held = [full, before, behind].map { $0.bytesHeld ?? 0 }
        #expect(held[2] < held[1] && held[1] < held[0])
        // Item by item: sharing a prompt changes no score.
        for isQueryAware in [false, true] {
            let alone = try items.map { log(try score([$0], spec, isQueryAware: isQueryAware).perplexity) }
            let together = try score(items, spec, isQueryAware: isQueryAware, forks: 3)
            #expect(abs(log(together.perplexity) - alone.reduce(0, +) / Double(items.count)) < 1e-5)
        }
    }

    @Test func `a policy that decides at a prompt's end refuses questions that nothing precedes`() throws {
        let bare = ChoiceItem(context: "no. 1? ", choices: ["a", "b"], answer: 0)
        #expect(throws: InferenceError.policyWithoutPrompt(policy: "snapkv")) {
            try score([bare], "evict=snapkv,budget=6,window=2")
        }
        #expect(try score([bare], "evict=snapkv,budget=6,window=2", isQueryAware: true).items == 1)
    }

    @Test(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"))
    func `a real checkpoint chooses through a cache as without one`() throws {
        let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures").path + "/"
        let items = try ChoiceTask.hellaswag.items(try String(contentsOfFile: fixtures + "hellaswag.jsonl", encoding: .utf8))
            .prefix(20)
        let folder = SharedData.path("models/tinystories-656k/")
        let checkpoint = try HuggingFaceFolder.load(folder)
        let tokenizer = try TokenizerFile.load(folder + "tokenizer.json")
        let plain = try ChoiceScore.evaluate(
            DecoderLM(widening: checkpoint.parameters, config: checkpoint.config), tokenizer: tokenizer, bosID: 1, prefixID: 1,
            Array(items))
        let cached = try ChoiceScore.evaluate(
            ServingModel(config: checkpoint.config, parameters: checkpoint.parameters), tokenizer: tokenizer, bosID: 1,
            prefixID: 1, Array(items),
            through: EvaluationCache(
                encoding: .float32, pageBytes: PageSize.bytes(for: [checkpoint.config], CacheEncoding.float32)))
        #expect(cached.results == plain.results)
        #expect(abs(cached.perplexity / plain.perplexity - 1) < 1e-4)
    }
}
