import Checkpoints
import Evaluation
import Foundation
import Inference
import Models
import Recipes
import TestSupport
import Testing
import Text

@testable import Experiments

/// Models through compressed caches: the evaluation of sweeps and of given checkpoints.
@Suite struct CompressionTests {
    private let scratch = ScratchDirectory()
    private let reporter = ProgressReporter(quiet: true)

    private func recipe(
        _ compression: String, evaluation: String = #""window": 48, "kvDtype": "fp32""#,
        children: String = #""children": [{"kvHeads": 1, "method": "mean"}], "alpha": 0.5"#, model: String = ""
    ) throws -> Recipe {
        let words = ["alpha", "beta", "gamma", "delta", "epsilon"]
        let text = (0..<300).map { "\(words[$0 * $0 % 5]) meets \(words[$0 % 3]) at \($0 % 7).\n" }.joined()
        if scratch.bytes("text.txt").isEmpty { try scratch.write(Array(text.utf8), to: "text.txt") }
        return try Recipe.parse(
            """
            {"name": "lab", "tokenizer": {"kind": "byte"},
             "data": {"files": ["\(scratch["text.txt"])"], "cache": "\(scratch["cache"])"},
             "model": {"dim": 64, "layers": 2, "heads": 2, "ffn": 24, "maxSeq": 64\(model)},
             "train": {"steps": 2, "batch": 2, "seq": 24, "learningRate": 0.003},
             "lab": {\(children), "control": false, "compression": \(compression), "evaluation": {\(evaluation)}}}
            """)
    }

    private func sweep(_ recipe: Recipe) throws -> Sweep {
        try Sweep(recipe: recipe, lab: try #require(recipe.lab), directory: scratch["out"], reporter: reporter)
    }

    private func run(_ recipe: Recipe) async throws -> CacheFrontier {
        let result = try await sweep(recipe).execute { false }
        return try #require(result?.frontier)
    }

    /// When each measurement was made, by its file.
    private func times() throws -> [String: Date] {
        var times: [String: Date] = [:]
        for folder in ["parent", "kv1-mean"] {
            for name in try FileManager.default.contentsOfDirectory(atPath: scratch["out/\(folder)"])
            where name.hasPrefix("compression-") {
                let path = scratch["out/\(folder)/\(name)"]
                times[folder + "/" + name] = try FileManager.default.attributesOfItem(atPath: path)[.modificationDate] as? Date
            }
        }
        return times
    }

    private static let caches =
        #"[{"kvDtype": "int8"}, {"evict": "h2o", "budget": 8}, {"evict": "snapkv", "budget": "50%", "window": 4}]"#

    @Test func `a lab measures every model through every cache, its divergence from the uncompressed parent`() async throws {
        let frontier = try await run(recipe(Self.caches))
        #expect(frontier.rows.map(\.model) == Array(repeating: "parent", count: 4) + Array(repeating: "kv1-mean", count: 4))
        let evictions = ["full", "full", "h2o 8", "snapkv 50%, window=4"]
        #expect(frontier.rows.map(\.eviction) == evictions + evictions)
        #expect(frontier.rows.map(\.kvDtype) == (0..<2).flatMap { _ in ["fp32", "int8", "fp32", "fp32"] })
        // The uncompressed parent is the reference itself.
        #expect(frontier.rows[0].klToParent == 0 && frontier.rows.dropFirst().allSatisfy { $0.klToParent > 0 })
        #expect(frontier.rows[0].sequences == CacheGrid.sequences && frontier.rows.allSatisfy { $0.tokensPerSecond > 0 })

        // The child's divergence over its whole cache is that of the training forms, behind each window's prompt.
        let parent = try LoadedModel(path: scratch["out/parent/model.h5"])
        let child = try LoadedModel(path: scratch["out/kv1-mean/model.h5"])
        let recipe = try self.recipe(Self.caches)
        let windows = try parent.windows(
            SweepRecipes(recipe: recipe, lab: #require(recipe.lab)).corpus.validationText(recipe),
            parent.policy(window: 48, stride: nil, bos: nil))
        let kl = try Divergence.meanKL(
            parent: parent.model, child: child.model, windows.compactMap { $0.scored(from: 24) })
        #expect(abs(frontier.rows[4].klToParent - kl) < 1e-4 * kl, "\(frontier.rows[4].klToParent) and \(kl)")

        let saved = try JSONDecoder().decode(CacheFrontier.self, from: Data(scratch.bytes("out/compression.json")))
        #expect(saved == frontier)
        let csv = String(decoding: scratch.bytes("out/compression.csv"), as: UTF8.self).split(separator: "\r\n")
        #expect(csv.count == 9 && csv[0].hasPrefix("model,attention,parent,cache,evict,kv_dtype"))
        let html = String(decoding: scratch.bytes("out/report.html"), as: UTF8.self)
        for part in ["Compressed caches", "snapkv 50%, window=4", "KL to the parent"] { #expect(html.contains(part), "\(part)") }
        #expect(String(decoding: scratch.bytes("out/compression.svg"), as: UTF8.self).hasPrefix("<svg xmlns="))
        #expect(String(decoding: scratch.bytes("out/compression.md"), as: UTF8.self).contains("| dominated |"))
    }

    @Test func `bytes are those of the pages and positions at the longest that a sequence grows between decisions`() async throws
    {
        let frontier = try await run(
            recipe(#"[{"evict": "streaming-llm", "budget": 8, "interval": 16}, {"evict": "tova", "budget": 8}]"#))
        // Windows without a BOS have a token less than their 48 as input. A token of a layer is 2 · 64 · 4 bytes, 32 fill a page.
        let token = 512.0
        #expect(frontier.rows[0].contextTokens == 47)
        #expect(frontier.rows[0].cacheBytesPerToken == 2 * 64 * token / 47)
        // 8 slots at the prompt's end and 16 more before the next decision: one page a layer, and 4 bytes a head for each position.
        let streaming = frontier.rows[1]
        let sidecar = Double(2 * 2 * 4 * 23) / 47
        #expect(streaming.sidecarBytesPerToken == sidecar && streaming.cacheBytesPerToken == 2 * 32 * token / 47 + sidecar)
        #expect(streaming.sequences == 2 * frontier.rows[0].sequences)
        // TOVA keeps each slot's attention mass beside its position, and decides no more in 24 tokens.
        #expect(frontier.rows[2].cacheBytesPerToken > streaming.cacheBytesPerToken && frontier.rows[2].slotsKept == 31)
    }

    @Test func `a killed measurement goes on where it stopped, and another list measures what is new in it`() async throws {
        let recipe = try recipe(Self.caches)
        let stopped = try await sweep(recipe).execute { (try? times().count) ?? 0 >= 3 }
        #expect(stopped == nil)
        let before = try times()
        #expect(before.count == 3)
        #expect(try sweep(recipe).planText().hasSuffix("2 models through 4 caches, 5 of both to measure"))
        let whole = try await run(recipe)
        for (file, time) in before { #expect(try times()[file] == time, "\(file) was measured again") }
        let all = try times()
        #expect(all.count == 8)
        // A record that cannot be read is one to make again.
        let damaged = try #require(before.keys.sorted().first)
        try scratch.write(Array("{".utf8), to: "out/" + damaged)
        #expect(try sweep(recipe).planText().hasSuffix("1 of both to measure"))
        let larger = try await run(
            self.recipe(Self.caches.replacing("[{\"kvDtype\"", with: #"[{"evict": "knorm", "budget": 8}, {"kvDtype""#)))
        let after = try times()
        #expect(after.count == 10)
        for (file, time) in all where file != damaged { #expect(after[file] == time, "\(file) was measured again") }
        let kept = larger.rows.filter { $0.evict != "knorm" }
        #expect(kept.map(\.klToParent) == whole.rows.map(\.klToParent))
        #expect(kept.map(\.cacheBytesPerToken) == whole.rows.map(\.cacheBytesPerToken))
        #expect(try sweep(recipe).planText().hasSuffix("0 of both to measure"))
    }

    @Test func `a lab measures the heads of each model for a policy of whole heads, once`() async throws {
        let razor = #"{"evict": "razor-attention", "budget": "75%", "sinks": 1, "recent": 2}"#
        let recipe = try recipe("[\(razor)]")
        let frontier = try await run(recipe)
        #expect(
            frontier.rows.map(\.eviction) == [
                "full", "razor-attention 75%, sinks=1, recent=2", "full", "razor-attention 75%, sinks=1, recent=2",
            ])
        func measured(_ folder: String) throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: scratch["out/\(folder)"]).filter { $0.hasPrefix("heads-") }
        }
        for (row, folder) in [(1, "parent"), (3, "kv1-mean")] {
            let file = try #require(measured(folder).first)
            let path = scratch["out/\(folder)/model.h5"]
            let checkpoint = try Checkpoint.load(path)
            let model = try ServingModel(config: checkpoint.config, parameters: checkpoint.parameters)
            let scores = try HeadScores(path: scratch["out/\(folder)/\(file)"])
            #expect(scores == (try RepetitionScores.scores(of: model)) && scores.model == model.identity)
            #expect(try measured(folder).count == 1)
            guard row == 1 else { continue }
            // The same as with the file by hand.
            let cache = try CacheSpec(
                "evict=razor-attention,budget=75%,sinks=1,recent=2,scores=\(scratch["out/\(folder)/\(file)"])")
            let text = try SweepRecipes(recipe: recipe, lab: #require(recipe.lab)).corpus.validationText(recipe)
            let (byHand, _) = try Comparison(window: 48, bos: .never).frontier(
                [LoadedModel(path: path)], text, title: "", caches: [cache], prompt: nil, reporter: reporter)
            #expect(byHand.rows.last?.klToParent == frontier.rows[row].klToParent)
        }
        // Another list of caches uses the measurement there is.
        let before = try measured("parent")
        _ = try await run(self.recipe("[\(razor), \(razor.replacing("75%", with: "50%"))]"))
        #expect(try measured("parent") == before)
        let gates = try self.recipe(#"[{"evict": "duo-attention", "budget": "75%"}]"#)
        #expect(throws: ExperimentError.self) { try sweep(gates) }
        do { _ = try sweep(gates) } catch {
            #expect(
                "\(error)".contains(
                    "'lab.compression[0]': parent: sequences of 64 tokens show little that 128 sinks and the newest 256 tokens do not"
                ))
        }
    }

    @Test func `a cache that some model cannot have is refused before anything is trained, by its place in the recipe`() throws {
        func message(_ recipe: Recipe) -> String {
            do {
                _ = try sweep(recipe)
                return "accepted"
            } catch { return "\(error)" }
        }
        let windowed = try recipe(
            #"[{"kvDtype": "int8"}, {"evict": "h2o", "budget": 8}]"#,
            children: #""children": [{"attention": {"kind": "hybrid", "window": 8, "fullEvery": 4}}], "alpha": 0.5"#)
        #expect(
            message(windowed).contains(
                "'lab.compression[1]': hybrid-w8-f4: 'h2o' cannot act on the model: every layer of the model has a sliding window"
            ))
        let narrow = try recipe(#"[{"kvDtype": "q8_0"}]"#, model: #", "headDim": 24"#)
        #expect(message(narrow).contains("'lab.compression[0]': parent: q8_0 stores blocks of 32 elements, layer 0 caches"))
        let long = try recipe(#"[{"kvDtype": "int8"}]"#, evaluation: #""window": 100, "prefill": 70"#)
        #expect(message(long) == "'lab.evaluation.prefill': 70 tokens, expected 1 to 63, less than the window of parent")
        #expect(!FileManager.default.fileExists(atPath: scratch["out"]))
    }

    @Test func `children are uptrained through a cache once more, and stand beside the same cache without it, paired by seed`()
        async throws
    {
        let through =
            #""distill": {"weight": 0.9}, "through": {"evict": "h2o", "budget": 6, "interval": 4, "kvDtype": "int8", "prefill": 10}"#
        let sweep = #""sweep": {"kvHeads": [1], "methods": ["mean"], "alphas": [1], "seeds": [0, 1]}, "#
        let recipe = try recipe(#"[{"kvDtype": "int8"}]"#, children: sweep + through)
        let result = try #require(try await self.sweep(recipe).execute { false })
        let frontier = try #require(result.frontier)
        let names = ["parent", "kv1 mean", "kv1 mean through h2o 6, interval=4 int8"]
        #expect(result.results.summaries.map(\.name) == names && frontier.rows.map(\.model).distinct() == names)
        // Both are made from one conversion, on the same tokens.
        let points = result.results.points.filter { $0.kind == .child }
        #expect(points.map(\.through) == [nil, "h2o 6, interval=4 int8", nil, "h2o 6, interval=4 int8"])
        #expect(Set(points.map(\.tokens)).count == 1 && points.map { $0.bitsPerByteBefore != nil } == [true, false, true, false])
        // The cache that is trained through is measured without being listed.
        #expect(frontier.rows.map(\.eviction).distinct() == ["full", "h2o 6, interval=4"] && frontier.rows.count == 3 * 3)
        let (plain, trained) = (frontier.rows[5], frontier.rows[8])
        #expect(plain.cache == trained.cache && plain.evict == "h2o" && plain.runs == 2)
        #expect(frontier.rows.map { $0.klToPlain != nil } == [Bool](repeating: false, count: 8) + [true])
        let mean = try #require(trained.klToPlain)
        #expect(abs(mean - (trained.klToParent - plain.klToParent)) < 1e-12 && mean != 0 && (trained.klToPlainMargin ?? 0) > 0)
        #expect(frontier.plain.contains("KL to plain") && frontier.caption.contains("± half of a 95 % interval, paired by seed."))
        let html = String(decoding: scratch.bytes("out/report.html"), as: UTF8.self)
        #expect(html.contains("KL to plain"))

        let folder = "out/steps/\(points[1].folder)"
        let saved = try Recipe.parse(String(decoding: scratch.bytes(folder + "/recipe.json"), as: UTF8.self))
        #expect(saved.uptrain?.settings.through == recipe.lab?.uptrain.through && saved.uptrain?.settings.distill?.weight == 0.9)
        let lineage = try Checkpoint.load(scratch[folder + "/model.h5"]).lineage
        #expect(lineage.recipe?.contains(#""through""#) == true)
        let other = try Checkpoint.load(scratch["out/steps/\(points[0].folder)/model.h5"]).lineage
        #expect(other.recipe?.contains(#""through""#) == false && other.parentHash == lineage.parentHash)
        #expect(try self.sweep(recipe).planText().contains("0 to make"))
    }

    @Test func `a cache that children cannot be trained through is refused before anything is trained`() throws {
        func message(_ through: String, _ children: String = #"{"kvHeads": 1}"#) -> String {
            do {
                let children = #""children": [\#(children)], "alpha": 0.5, "through": {\#(through)}"#
                _ = try sweep(recipe(#"[{"kvDtype": "int8"}]"#, children: children))
                return "accepted"
            } catch { return "\(error)" }
        }
        #expect(message(#""kvDtype": "int8""#) == "accepted")
        #expect(
            message(#""evict": "razor-attention", "budget": "75%", "sinks": 1, "recent": 2"#)
                == "'lab.through.evict': 'razor-attention' goes by a measurement of a model's heads, which training changes; train "
                + "through another policy")
        #expect(
            message(#""kvDtype": "kivi4""#)
                == "'lab.through': kivi4 encodes 32 tokens together behind a residual of 0, and no token of a sequence of 24 sees "
                + "codes; use longer sequences")
        #expect(
            message(#""evict": "h2o", "budget": 64"#)
                == "'lab.through': h2o 64 evicts nothing of sequences of 24 tokens, 12 of them the prompt; use a smaller budget or longer "
                + "sequences")
        #expect(
            message(#""evict": "h2o", "budget": 8, "prefill": 24"#)
                == "'lab.through.prefill': 24 tokens, expected 1 to 23, less than the 24 of a sequence")
        #expect(
            message(#""evict": "h2o", "budget": 8, "kvDtype": "kivi4""#).contains(
                "'lab.through': parent: kivi4 encodes 32 tokens together, 'h2o' evicts single ones"))
        #expect(
            message(#""evict": "h2o", "budget": 8"#, #"{"attention": {"kind": "hybrid", "window": 8, "fullEvery": 4}}"#)
                .contains("'h2o' cannot act on the model: every layer of the model has a sliding window"))
    }

    @Test(arguments: EvictionPolicies.names + ["full"])
    func `counted bytes of a decoding sequence are those that decoding holds`(policy: String) throws {
        let config = TinyModel.config(vocabulary: 257, maxSequence: 256)
        let model = try ServingModel(config: config, parameters: TinyModel.parameters(config))
        let window = ["snapkv", "pyramidkv", "adakv"].contains(policy) ? ",window=4" : ""
        let interval = (EvictionPolicies.all.first { $0.name == policy }?.options ?? []).contains(.interval) ? ",interval=9" : ""
        var ranking = ""
        if EvictionPolicies.namesOfHeads.contains(policy) {
            // The file names the policy that its scores are for.
            let scores = #"{"echo": [[0.1, 0.9], [0.4, 0.2]], "gate": [[1, 0], [0.5, 0]], "induction": [[0.1, 0.3], [0.9, 0.2]]}"#
            try scratch.write(
                Array(#"{"method": "\#(policy)", "layers": [0, 1], "scores": \#(scores)}"#.utf8), to: "heads.json")
            ranking = ",sinks=2,recent=4,scores=\(scratch["heads.json"])"
        }
        let hasBudget = !EvictionPolicies.namesWithoutBudget.contains(policy)
        for encoding in ["fp16", "int8"] {
            let cache = try CacheSpec(
                policy == "full"
                    ? "dtype=\(encoding)"
                    : "evict=\(policy)\(hasBudget ? ",budget=12" : ""),dtype=\(encoding)\(window)\(interval)\(ranking)")
            let grid = CacheGrid([], encoding: .float16, window: 50, prompt: 24)
            let options = try grid.options(model, ByteTokenizer(), cache)
            let ids = (0..<50).map { Int32($0 * 7 % 61) }
            let decoded = try DecodeProbe.run(model, ids, through: options)
            let counted = try CacheFootprint.most(
                config, encoding: cache.encoding, retention: options.retention, pageBytes: options.pageBytes, prompt: 24,
                tokens: 50)
            // Heads that share a budget hold at most the pages counted, a page a head less where they divide it well.
            let slack = options.retention.budgetScope == .head ? 0 : config.layers * config.kvHeads[0] * options.pageBytes
            guard hasBudget else {
                // All slots are counted of a policy without a budget.
                #expect(counted.allocatedBytes >= decoded.allocatedBytes && counted.sidecarBytes >= decoded.sidecarBytes)
                continue
            }
            #expect((0...slack).contains(counted.allocatedBytes - decoded.allocatedBytes), "\(cache)")
            #expect(counted.sidecarBytes == decoded.sidecarBytes, "\(cache)")
        }
    }

    @Test func `advice is the least divergence within the bytes, with the commands that serve and measure it`() throws {
        let config = TinyModel.config(vocabulary: 257, kvHeads: 4)
        let text = (0..<120).map { "line \($0 * $0 % 17) of \($0 % 5)\n" }.joined()
        try scratch.write(Array(text.utf8), to: "text.txt")
        var models: [LoadedModel] = []
        for (index, name) in ["a", "b"].enumerated() {
            let checkpoint = Checkpoint(
                config: config, parameters: TinyModel.parameters(config, seed: UInt64(index + 1)),
                tokenizer: ByteTokenizer().serialized)
            models.append(try LoadedModel(name: name, checkpoint: checkpoint, path: name))
        }
        // Whole caches of fp16 take 384 bytes a token and more in pages.
        var advisor = CacheAdvisor(bytesPerToken: 300, context: 64)
        (advisor.mostWindows, advisor.policies) = (6, ["streaming-llm", "h2o", "snapkv", "tova"])
        let input = EvaluationText(text)
        let paths = [scratch["a b.h5"], scratch["b.h5"]]
        let advice = try advisor.advise(models, paths: paths, input, textPath: "text.txt", reporter: reporter)
        // Every cache that was measured within the bytes diverges no less, and none holds more than was counted.
        let rows = advice.frontier.rows
        #expect(rows.count == CacheAdvisor.finalists && rows.allSatisfy { $0.cacheBytesPerToken <= 300 })
        #expect(advice.choice.klToParent == rows.map(\.klToParent).min() && advice.choice.cacheBytesPerToken <= 300)
        #expect(try #require(advice.runnerUp).klToParent >= advice.choice.klToParent)
        // A model of other weights is far from the parent, whatever its cache.
        #expect(advice.choice.model == "a" && advice.candidates > CacheAdvisor.finalists)
        #expect(advice.choice.serve.hasPrefix("kvlab serve '\(scratch["a b.h5"])' --kv-dtype "))
        #expect(advice.choice.measure.contains("--window 64 --prefill 32 --limit-windows 6 --compression dtype="))
        #expect(advice.plain.contains("nats more"))
        advisor.bytesPerToken = 8
        let error = #expect(throws: ExperimentError.self) {
            try advisor.advise(models, paths: paths, input, textPath: "text.txt", reporter: reporter)
        }
        #expect(try #require(error).description.hasPrefix("no cache takes 8.0 bytes a token; the leanest, dtype=k8v4,evict="))
    }

    @Test func `a row is dominated by one of its parent with no more bytes and divergence, and less of one`() throws {
        func entry(_ model: String, _ parent: String, _ cache: String, bytes: Double, kl: Double, seed: Int = 0) throws
            -> CacheFrontier.Entry
        {
            let score = CompressedScore(
                nll: 100, tokens: 50, bytes: 200, klToParent: kl, slotsKept: 8, contextTokens: 64, cacheBytesPerToken: bytes,
                sidecarBytesPerToken: 1, pageBytes: 1024, tokensPerSecond: 1000, sequences: 40, memoryBytes: 1 << 20,
                machine: "m\(seed)", date: "now")
            return CacheFrontier.Entry(
                model: model, attention: "MHA", parent: parent, isParent: model == parent, seed: seed,
                cache: try CacheSpec(cache), score: score)
        }
        let grid = CacheGrid([], encoding: .float16, window: 64, prompt: nil)
        let frontier = CacheFrontier(
            try [
                entry("a", "a", "dtype=fp16", bytes: 100, kl: 0), entry("a", "a", "dtype=int8", bytes: 50, kl: 0.01),
                // Worse than int8 in one, equal in the other; then equal in both, which is no reason.
                entry("b", "a", "dtype=int8", bytes: 50, kl: 0.02), entry("b", "a", "dtype=k8v4", bytes: 50, kl: 0.01),
                entry("b", "a", "evict=h2o,budget=9", bytes: 20, kl: .nan),
                // Of another parent.
                entry("c", "c", "dtype=fp16", bytes: 200, kl: 0.5),
                // Two seeds are one row.
                entry("b", "a", "evict=knorm,budget=9", bytes: 30, kl: 0.1, seed: 1),
                entry("b", "a", "evict=knorm,budget=9", bytes: 40, kl: 0.3, seed: 2),
            ], text: "text", grid: grid)
        #expect(frontier.rows.map(\.isDominated) == [false, false, true, false, false, false, false])
        let mean = frontier.rows[6]
        #expect(mean.runs == 2 && mean.klToParent == 0.2 && mean.cacheBytesPerToken == 35 && mean.klDeviation != nil)
        #expect(frontier.machines == ["m0", "m1", "m2"] && frontier.caption.contains("m0; m1; m2"))
        #expect(frontier.plain.contains("yes") && frontier.parents == ["a", "c"])
        let html = HTMLReport(title: "caches", frontier: frontier).html
        // A drawing for each parent. What is dominated is hollow, and a figure that is none is left out.
        #expect(html.matches(of: /<figure>/).count == 2 && html.contains("<h3>c</h3>"))
        let figure = FrontierPlot(frontier, parent: "a").figure
        // In the wide drawing and in the narrow one.
        #expect(figure.matches(of: /class="open c[0-9]"><title>[^<]/).count == 2)
        #expect(figure.matches(of: /class="point c[0-9]"><title>/).count == 2 * 4 && !figure.contains("nan"))
    }
}
