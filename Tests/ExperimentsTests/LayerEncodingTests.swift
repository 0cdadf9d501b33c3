import Checkpoints
import Evaluation
import Inference
import Models
import Random
import TestSupport
import Testing
import Text

@testable import Experiments

@Suite struct LayerEncodingTests {
    private let reporter = ProgressReporter(quiet: true)

    /// Every choice of one option a layer.
    private func choices(_ layers: [[LayerChoice.Option]]) -> [[Int]] {
        layers.reduce([[]]) { rest, options in rest.flatMap { chosen in options.indices.map { chosen + [$0] } } }
    }

    @Test func `the least loss within a budget is that of trying every choice`() throws {
        var random = SeededGenerator(seed: 3, name: "layers")
        for _ in 0..<40 {
            let layers = (0..<4).map { _ in
                (0..<3).map { _ in
                    // Losses of few values, so that sums are equal often.
                    LayerChoice.Option(pages: 1 + Int(random.uniform() * 6), loss: Double(Int(random.uniform() * 4)))
                }
            }
            func cost(_ chosen: [Int]) -> (loss: Double, pages: Int) {
                zip(layers, chosen).reduce((0, 0)) { ($0.0 + $1.0[$1.1].loss, $0.1 + $1.0[$1.1].pages) }
            }
            for budget in 0..<28 {
                let within = choices(layers).map(cost).filter { $0.pages <= budget }
                let expected = within.min { ($0.loss, $0.pages) < ($1.loss, $1.pages) }
                let found = LayerChoice.best(layers, budget: budget).map(cost)
                #expect(found?.loss == expected?.loss && found?.pages == expected?.pages, "\(layers), \(budget)")
            }
        }
    }

    @Test func `an infinite loss is chosen only where nothing else is within the budget`() {
        let layer = [LayerChoice.Option(pages: 1, loss: .infinity), LayerChoice.Option(pages: 3, loss: 1)]
        #expect(LayerChoice.best([layer, layer], budget: 6) == [1, 1])
        #expect(LayerChoice.best([layer, layer], budget: 2) == [0, 0])
        #expect(LayerChoice.best([layer, layer], budget: 1) == nil)
    }

    private func model(_ config: ModelConfig) throws -> LoadedModel {
        let checkpoint = Checkpoint(
            config: config, parameters: TinyModel.parameters(config), tokenizer: ByteTokenizer().serialized)
        return try LoadedModel(name: "tiny", checkpoint: checkpoint, path: "tiny.h5")
    }

    private let text = EvaluationText((0..<120).map { "line \($0 * $0 % 17) of \($0 % 5)\n" }.joined())

    private func search(_ model: LoadedModel, _ budgets: [Double], _ change: (inout LayerEncodingSearch) -> Void = { _ in })
        throws -> LayerEncodings
    {
        var search = LayerEncodingSearch(budgets: budgets, context: 200)
        (search.windows, search.candidates) = (2, [.float32, .int8, .kivi4, .kivi2])
        change(&search)
        return try search.run(model, path: "a b.h5", Comparison(window: 64), text, textName: "text.txt", reporter: reporter)
    }

    @Test(arguments: [TinyDesigns.gqa, .crossLayer])
    func `the chosen encodings are within the budget, and no cache of two of them predicts less`(design: TinyDesigns) throws {
        var config = try design.config
        (config.vocabularySize, config.maxSequence) = (257, 256)
        let model = try model(config)
        let all = try search(model, [1]) { $0.budgets = [] }
        let layers = config.kvGeometry(.float32).indices.filter { config.keyValueSource($0) == nil }
        #expect(all.encodings == ["fp32", "int8", "kivi4", "kivi2"] && all.divergences.count == config.layers)
        #expect(config.layers - layers.count == all.divergences.count(where: \.isEmpty))
        // Unrounded elements lose nothing, two bits the most.
        for losses in all.divergences where !losses.isEmpty { #expect(losses[0] == 0 && losses[3] == losses.max()) }
        let least = try #require(all.uniform.map(\.bytesPerToken).min())
        let most = try #require(all.uniform.map(\.bytesPerToken).max())
        let budgets = [least, (least + most) / 3, (least + most) / 2, most]
        let found = try search(model, budgets)
        #expect(found.heldOutWindows == 2 && found.windows == 2 && found.tokens > 100)
        var last = Double.infinity
        for (choice, budget) in zip(found.choices, budgets) {
            let bytes = choice.layers.reduce(0) { $0 + $1.bytesPerToken }
            #expect(abs(bytes - choice.cache.bytesPerToken) < 1e-9 && bytes <= budget + 1e-9)
            let encoding = try CacheEncoding(name: choice.cache.kvDtype)
            #expect(choice.layers.allSatisfy { encoding[$0.layer].name == $0.encoding } && choice.layers.map(\.layer) == layers)
            try config.kvGeometry(encoding).check(encoding)
            // What a sequence of the context holds in such pages.
            let pages = PageSize.pages(tokens: 200, of: config.kvGeometry(encoding), pageBytes: choice.cache.pageBytes)
            #expect(try Double(#require(pages) * choice.cache.pageBytes) / 200 == choice.cache.bytesPerToken)
            // More bytes never predict more, and a cache of one encoding within the budget never predicts less.
            #expect(choice.predictedKL <= last)
            last = choice.predictedKL
            for (index, cache) in found.uniform.enumerated() where cache.bytesPerToken <= budget {
                let sum = found.divergences.reduce(0) { $0 + ($1.isEmpty ? 0 : $1[index]) }
                #expect(choice.predictedKL <= sum + 1e-15, "\(cache.kvDtype)")
            }
            #expect(choice.serve.hasPrefix("kvlab serve 'a b.h5' --kv-dtype \(choice.cache.kvDtype)"))
        }
        #expect(found.choices[3].predictedKL == 0 && found.choices[3].cache.kvDtype == "fp32")
        #expect(found.plain.contains(found.textSHA256) && found.plain.contains("chosen at"))
    }

    @Test func `a layer's divergence is what an evaluation through that cache measures`() throws {
        let config = TinyModel.config(vocabulary: 257, layers: 2, headDim: 8, maxSequence: 256)
        let model = try model(config)
        let found = try search(model, [9999])
        let windows = try Array(Comparison(window: 64).windows(model, text).prefix(2))
        let serving = try ServingModel(config: config, parameters: model.checkpoint.parameters)
        let encoding = try CacheEncoding(name: "fp32+kivi2:1")
        let measured = try CachedPerplexity.evaluate(
            serving, windows,
            through: EvaluationCache(encoding: encoding, pageBytes: PageSize.bytes(for: [config], encoding)))
        // Sums in another order, in pages of another size.
        #expect(abs(measured.klToFull - found.divergences[1][3]) < 1e-2 * measured.klToFull + 1e-7 && measured.klToFull > 1e-5)
    }

    @Test func `a budget below the leanest encodings is refused before any pass`() throws {
        let model = try model(TinyModel.config(vocabulary: 257, maxSequence: 256))
        let error = #expect(throws: ExperimentError.self) { try search(model, [3]) }
        let sentence = try #require(error).description
        #expect(sentence.hasPrefix("no encodings of the layers take 3.0 bytes a token; the leanest, "), "\(sentence)")
        let none = #expect(throws: ExperimentError.self) { try search(model, [300]) { $0.candidates = [.q8] } }
        #expect(try #require(none).description == "'--kv-dtype': tiny can have none of these encodings")
    }
}
