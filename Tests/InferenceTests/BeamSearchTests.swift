import Checkpoints
import Foundation
import Models
import TestSupport
import Testing
import Text

@testable import Inference

@Suite struct BeamSearchTests {
    /// The `width` likeliest outputs by passes over whole sequences, every beam's every token considered.
    private func expected(_ model: DecoderLM, _ prompt: [Int32], width: Int, count: Int) -> [(ids: [Int32], sum: Double)] {
        var beams: [(ids: [Int32], sum: Double)] = [([], 0)]
        for _ in 0..<count {
            var all: [(ids: [Int32], sum: Double)] = []
            for beam in beams {
                let tokens = prompt + beam.ids
                let logits = model.logits(ModelInput(batch: 1, seq: tokens.count, tokens: tokens)).values
                let row = logits.suffix(model.config.vocabularySize).map(Double.init)
                let top = row.max() ?? 0
                let total = top + log(row.reduce(0) { $0 + exp($1 - top) })
                all += row.enumerated().map { (beam.ids + [Int32($0.offset)], beam.sum + $0.element - total) }
            }
            beams = Array(all.sorted { $0.sum > $1.sum }.prefix(width))
        }
        return beams
    }

    private func check(_ answer: Answer, _ expected: [(ids: [Int32], sum: Double)], shown: Int) {
        for index in 0..<shown {
            let tokens = answer.tokens[index] ?? []
            #expect(tokens.map(\.id) == expected[index].ids, "output \(index)")
            #expect(abs(tokens.reduce(0) { $0 + Double($1.logprob ?? 0) } - expected[index].sum) < 1e-3)
            #expect(answer.reasons[index] == .length)
        }
        #expect(answer.tokens.count == shown)
    }

    @Test func `the likeliest outputs are found, and leave no page held`() async throws {
        let fixture = try EngineFixture(kvHeads: [4, 1], deviation: 0.3) { $0.limits.tokensPerStep = 24 }
        var running: [(Int, [Int32], Generation)] = []
        for index in 0..<4 {
            let prompt = EngineFixture.prompt(9 + 11 * index, index)
            let request = fixture.request(prompt, 7, model: index % 2) {
                $0.count = 3
                $0.beams = BeamOptions(width: 5)
            }
            running.append((index % 2, prompt, try await fixture.engine.submit(request)))
        }
        // Another request in between is not disturbed.
        let other = try await fixture.engine.submit(fixture.request(EngineFixture.prompt(20, 9), 12))
        await fixture.finish()
        for (model, prompt, generation) in running {
            check(await Answer(generation), expected(fixture.models[model], prompt, width: 5, count: 7), shown: 3)
        }
        #expect(await Answer(other).ids == fixture.expected(EngineFixture.prompt(20, 9), 12))
        await fixture.engine.dropPrefixes()
        let statistics = await fixture.engine.statistics
        #expect(statistics.freePages == statistics.pages)
        #expect(await fixture.engine.inconsistency() == nil)
    }

    @Test(arguments: EngineOptions.Preemption.allCases, [false, true])
    func `preempted beams go on as they would have`(way: EngineOptions.Preemption, sharing: Bool) async throws {
        let scratch = ScratchDirectory()
        // Each of two layers has a page for every eight tokens: one sequence wants eight pages, six beams as many as they part.
        let fixture = try EngineFixture(kvHeads: [2], pages: 26, deviation: 0.3) {
            ($0.preemption, $0.tier, $0.prefixSharing) = (way, try FileTier(directory: scratch.path), sharing)
        }
        var running: [([Int32], Generation)] = []
        for index in 0..<3 {
            let prompt = EngineFixture.prompt(5 + index, index)
            let request = fixture.request(prompt, 20) { $0.beams = BeamOptions(width: 4) }
            running.append((prompt, try await fixture.engine.submit(request)))
        }
        await fixture.finish()
        for (prompt, generation) in running {
            check(await Answer(generation), expected(fixture.models[0], prompt, width: 4, count: 20), shown: 1)
        }
        await fixture.engine.dropPrefixes()
        let statistics = await fixture.engine.statistics
        #expect(way == .swap ? statistics.swapped > 0 : statistics.recomputed > 0)
        #expect(statistics.freePages == statistics.pages)
        #expect(await fixture.engine.inconsistency() == nil)
    }

    @Test func `searches over beginnings of one prompt don't wait for each other in a circle`() async throws {
        let fixture = try EngineFixture(kvHeads: [4], pages: 300, deviation: 0.3) { $0.preemption = .recompute }
        var running: [([Int32], Generation)] = []
        for index in 0..<5 {
            let prompt = EngineFixture.prompt(20 + index)
            running.append(
                (prompt, try await fixture.engine.submit(fixture.request(prompt, 40) { $0.beams = BeamOptions(width: 6) })))
        }
        await fixture.finish(within: 5000)
        #expect(await fixture.engine.statistics.recomputed > 0)
        for (prompt, generation) in running {
            check(await Answer(generation), expected(fixture.models[0], prompt, width: 6, count: 40), shown: 1)
        }
        #expect(await fixture.engine.inconsistency() == nil)
    }

    @Test func `a search that is dropped, and one for no tokens, leave nothing`() async throws {
        let fixture = try EngineFixture()
        let dropped = try await fixture.engine.submit(
            fixture.request(EngineFixture.prompt(30), 50) { $0.beams = BeamOptions(width: 8) })
        let empty = try await fixture.engine.submit(
            fixture.request(EngineFixture.prompt(8), 0) { $0.beams = BeamOptions(width: 8) })
        for _ in 0..<5 { await fixture.engine.step() }
        await fixture.engine.cancel(dropped.id)
        await fixture.finish()
        #expect(await Answer(empty).reasons == [0: .length])
        await fixture.engine.dropPrefixes()
        let statistics = await fixture.engine.statistics
        #expect(statistics.freePages == statistics.pages)
    }

    @Test func `what a search cannot be had with is refused`() async throws {
        let fixture = try EngineFixture()
        for change: @Sendable (inout GenerationRequest) -> Void in [
            { $0.count = 9 }, { $0.beams?.width = 1000 }, { $0.sampling.stopStrings = ["x"] },
            { $0.sampling.presencePenalty = 1 }, { $0.beams?.lengthPenalty = .nan },
        ] {
            let request = fixture.request(EngineFixture.prompt(8), 4) {
                $0.beams = BeamOptions(width: 8)
                change(&$0)
            }
            await #expect(throws: InferenceError.self) { try await fixture.engine.submit(request) }
        }
    }

    private struct Reference: Decodable {
        var ids: [Int32]
        var score: Double
    }

    @Test(
        .enabled(if: SharedData.isPresent, "\(SharedData.skipped)"),
        .enabled(if: Python.has("transformers"), "python3 has no transformers module"),
        arguments: [(1.0, false), (0.3, false), (2.0, true)])
    func `outputs and scores are those of transformers' generate`(penalty: Double, early: Bool) async throws {
        let folder = SharedData.path("models/stories260K")
        // Sentences' ends stop the text, so that beams finish at different lengths.
        let stops: [Int32] = [2, 426]
        let prompt: [Int32] = [1, 403, 407, 261, 378]
        let script = """
            import json, sys, torch
            from transformers import AutoModelForCausalLM
            model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
            ids = torch.tensor([json.loads(sys.argv[2])])
            out = model.generate(
                ids, attention_mask=torch.ones_like(ids), num_beams=5, num_return_sequences=4, max_new_tokens=30, do_sample=False,
                length_penalty=float(sys.argv[4]), early_stopping=sys.argv[5] == "true", eos_token_id=json.loads(sys.argv[3]),
                pad_token_id=0, output_scores=True, return_dict_in_generate=True)
            print(json.dumps([dict(ids=s[ids.shape[1]:].tolist(), score=c) for s, c in zip(out.sequences, out.sequences_scores.tolist())]))
            """
        let result = try await Python.runConcurrently(script, [folder, "\(prompt)", "\(stops)", "\(penalty)", "\(early)"])
        try #require(result.status == 0, "\(result.errors.suffix(2000))")
        let reference = try JSONDecoder().decode([Reference].self, from: Data(result.output.utf8))
        let checkpoint = try ModelImport.load(folder)
        let engine = try Engine(models: [
            EngineModel(
                name: "m", model: try ServingModel(config: checkpoint.config, parameters: checkpoint.parameters),
                tokenizer: ByteTokenizer(), stopIDs: Set(stops))
        ])
        var request = GenerationRequest(prompt: prompt)
        (request.sampling.maxTokens, request.count) = (30, 4)
        var options = BeamOptions(width: 5)
        (options.lengthPenalty, options.stopsEarly) = (penalty, early)
        request.beams = options
        let generation = try await engine.submit(request)
        while await engine.step() {}
        let answer = await Answer(generation)
        for (index, expected) in reference.enumerated() {
            let tokens = answer.tokens[index] ?? []
            // Shorter ones are filled up behind their end.
            let end = expected.ids.firstIndex { stops.contains($0) } ?? expected.ids.count - 1
            let ids = Array(expected.ids[...end])
            #expect(tokens.map(\.id) == ids, "output \(index)")
            let sum = tokens.reduce(0) { $0 + Double($1.logprob ?? 0) }
            #expect(abs(sum / pow(Double(tokens.count), penalty) - expected.score) < 1e-4)
        }
    }
}
