import Checkpoints
import Foundation
import Inference
import Kernels
import Models
import TestSupport
import Testing
import Text

import Autograd
@testable import Evaluation
@testable import Experiments

/// The measurements that rank heads for policies of whole heads.
@Suite struct HeadMeasurementTests {
    @Test(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"), arguments: ["tinystories-656k", "tinystories-656k-mha8"])
    func `echo and induction scores equal those of PyTorch's attention weights`(name: String) throws {
        struct Fixture: Decodable {
            var words: [Int32]
            var scores: [String: [[Double]]]
        }
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let data = try Data(contentsOf: folder.appendingPathComponent("EvaluationTests/Fixtures/heads-\(name).json"))
        let fixture = try JSONDecoder().decode(Fixture.self, from: data)
        let checkpoint = try HuggingFaceFolder.load(SharedData.path("models/\(name)"))
        let model = try ServingModel(config: checkpoint.config, parameters: checkpoint.parameters)
        let found = try RepetitionScores(model, words: fixture.words, times: 4)
        for (scores, name) in [(found.echo, "echo"), (found.induction, "induction")] {
            let expected = try #require(fixture.scores[name])
            #expect(scores.map(\.count) == expected.map(\.count))
            for (score, expected) in zip(scores.joined(), expected.joined()) {
                #expect(abs(score - expected) < 1e-5, "\(name): \(score), \(expected)")
            }
        }
    }

    @Test(arguments: [TinyDesigns.gqa, .latent, .crossLayer, .yoco, .hybrid])
    func `repetitions are scored of every attention, a head of each cache that is whole`(design: TinyDesigns) throws {
        let config = try design.config
        let model = try ServingModel(config: config, parameters: TinyModel.parameters(config))
        let scores = try RepetitionScores(model, words: (0..<16).map { Int32($0 * 11 % 61) }, times: 4)
        let heads = HeadGates.layers(of: config).map(\.kvHeads)
        for found in [scores.echo, scores.induction] {
            #expect(found.map(\.count) == heads && found.joined().allSatisfy { (0...1).contains($0) && $0 > 0 })
        }
    }

    private let haystack = (0..<60).map { "Chapter \($0) tells of a ship that sailed for many days on end." }.joined(
        separator: "\n")

    /// A model in whose first layer the first KV head does nothing: the rows of its query heads do not reach the residual stream.
    private func model() throws -> LoadedModel {
        let config = TinyModel.config(vocabulary: 257, maxSequence: 400)
        var parameters = TinyModel.parameters(config)
        let name = WeightName(.output, layer: 0)
        let weight = try #require(parameters[name])
        var values = weight.float32().array()
        let (width, dead) = (weight.shape[1], weight.shape[1] / config.kvHeads[0])
        for row in 0..<weight.shape[0] { for column in 0..<dead { values[row * width + column] = 0 } }
        parameters[name] = Weight(shape: weight.shape, storage: Storage(copying: values))
        let checkpoint = Checkpoint(config: config, parameters: parameters, tokenizer: ByteTokenizer().serialized)
        return try LoadedModel(name: "tiny", checkpoint: checkpoint, path: "tiny")
    }

    private func training() -> GateTraining {
        var training = GateTraining(length: 400)
        (training.passkeys, training.sinks, training.recent) = (2, 2, 8)
        return training
    }

    @Test func `sequences hide passkeys in a text and end in questions whose answers are marked`() throws {
        let (model, recall) = (try model(), try RecallDocuments(haystack: haystack, seed: 1))
        var texts: Set<String> = []
        for step in 0..<10 {
            let sequence = training().sequence(step, model, recall)
            let text = String(decoding: model.tokenizer.decode(sequence.tokens), as: UTF8.self)
            texts.insert(text)
            #expect((200...400).contains(sequence.tokens.count))
            let answers = String(decoding: model.tokenizer.decode(sequence.answers.map { sequence.tokens[$0] }), as: UTF8.self)
            let keys = answers.split(separator: ".")
            #expect(keys.count == 2)
            for key in keys { #expect(text.split(separator: "is\(key).").count >= 2, "\(text)") }
        }
        #expect(texts.count == 10)
    }

    @Test func `the loss's gradient is its central differences`() throws {
        let (model, recall) = (try model(), try RecallDocuments(haystack: haystack, seed: 1))
        let training = training()
        let sequence = training.sequence(0, model, recall)
        let gates = [Tensor([0.3, 0.9], shape: [2]), Tensor([0.5, 0.2], shape: [2])]
        #expect(GradientCheck.failures(gates) { training.loss(model.model, sequence, $0).loss } == [])
    }

    @Test func `a head that does nothing loses its gate, the others keep theirs`() throws {
        let (model, recall) = (try model(), try RecallDocuments(haystack: haystack, seed: 1))
        var training = training()
        (training.steps, training.learningRate, training.regularization) = (40, 0.05, 0.002)
        var distances: [Double] = []
        let gates = try training.gates(of: model, recall) { _, distance, _ in distances.append(distance) }
        #expect(gates[0][0] < 0.05 && distances[0] < 1e-9 && distances.count == 40, "\(gates), \(distances)")
        let others = [gates[0][1]] + gates[1]
        #expect(others.allSatisfy { $0 > 0.2 && $0 <= 1 }, "\(gates)")
        #expect(try training.gates(of: model, recall) { _, _, _ in } == gates)
    }

    @Test func `lengths that tell nothing of the heads are refused`() throws {
        let (model, recall) = (try model(), try RecallDocuments(haystack: haystack, seed: 1))
        var training = GateTraining(length: 400)
        #expect(throws: GateTraining.Fault.short(length: 400, least: 772, sinks: 128, recent: 256)) {
            try training.gates(of: model, recall) { _, _, _ in }
        }
        (training.length, training.sinks, training.recent, training.passkeys) = (100, 2, 8, 4)
        #expect(throws: GateTraining.Fault.noAnswer(length: 100, passkeys: 4)) {
            try training.gates(of: model, recall) { _, _, _ in }
        }
    }
}
