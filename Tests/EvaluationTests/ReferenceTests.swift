import Checkpoints
import Foundation
import Inference
import Kernels
import Models
import Random
import TestSupport
import Testing
import Text

@testable import Evaluation

/// The shared checkpoints against figures from PyTorch.
@Suite(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)")) struct ReferenceTests {
    private struct Reference: Decodable {
        struct Model: Decodable {
            struct Score: Decodable {
                var tokens: Int
                var nll_nats: Double
                var ppl: Double
                var bits_per_byte: Double
            }
            var greedy_prompt_ids: [Int32]
            var greedy_ids: [Int32]
            var greedy_text: String
            var perplexity: [String: [String: Score]]
        }
        var stories260K: Model
        var tinystories: Model

        enum CodingKeys: String, CodingKey {
            case stories260K
            case tinystories = "tinystories-656k"
        }
    }

    private static let models = ["stories260K", "tinystories-656k"]

    private func reference(_ name: String) throws -> Reference.Model {
        let data = try #require(FileManager.default.contents(atPath: SharedData.path("reference.json")))
        let all = try JSONDecoder().decode(Reference.self, from: data)
        return name == "stories260K" ? all.stories260K : all.tinystories
    }

    private func checkpoint(_ name: String) throws -> Checkpoint { try HuggingFaceFolder.load(SharedData.path("models/\(name)")) }

    private func load(_ name: String) throws -> DecoderLM {
        let checkpoint = try checkpoint(name)
        return try DecoderLM(config: checkpoint.config, parameters: checkpoint.parameters)
    }

    private func tokenizer(_ name: String) throws -> any Tokenizer {
        try TokenizerFile.load(SharedData.path("models/\(name)/" + (name == "stories260K" ? "tok512.bin" : "tokenizer.json")))
    }

    private func documents(_ text: String) throws -> EvaluationText {
        func bytes(_ file: String) throws -> Data {
            try #require(FileManager.default.contents(atPath: SharedData.path("text/\(file)")))
        }
        switch text {
        case "tinystories_sample":
            return EvaluationText(String(decoding: try bytes("tinystories-sample.txt"), as: UTF8.self), splitOn: "<|endoftext|>")
        case "shakespeare_val_first32768B":
            return EvaluationText(
                String(decoding: try bytes("tinyshakespeare.txt")[1_003_854..<1_003_854 + 32768], as: UTF8.self))
        default: return EvaluationText(String(decoding: try bytes("wikitext2-test.txt")[..<32768], as: UTF8.self))
        }
    }

    @Test(arguments: models) func `logits equal PyTorch's within 1e-3`(name: String) throws {
        let model = try load(name)
        let file = try SafetensorsFile(path: SharedData.path("models/\(name)/ref_logits.safetensors"))
        let expected = try #require(try file.weight("logits")).float32().array()
        let ids = try referenceIDs(SharedData.path("models/\(name)/ref_logits.safetensors"))
        let logits = model.logits(ModelInput(batch: 1, seq: ids.count, tokens: ids)).values
        #expect(differences(logits, expected, absolute: 1e-3).isEmpty)
    }

    /// The `input_ids` tensor, int64, which no model file has: read by hand.
    private func referenceIDs(_ path: String) throws -> [Int32] {
        let data = [UInt8](try #require(FileManager.default.contents(atPath: path)))
        let length = (0..<8).reduce(0) { $0 | Int(data[$1]) << (8 * $1) }
        let header = try #require(try JSONSerialization.jsonObject(with: Data(data[8..<8 + length])) as? [String: Any])
        let entry = try #require(header["input_ids"] as? [String: Any])
        let offsets = try #require(entry["data_offsets"] as? [Int])
        let width = (entry["dtype"] as? String) == "I64" ? 8 : 4
        return stride(from: 8 + length + offsets[0], to: 8 + length + offsets[1], by: width).map { start in
            Int32(truncatingIfNeeded: (0..<4).reduce(0) { $0 | Int(data[start + $1]) << (8 * $1) })
        }
    }

    @Test(arguments: models) func `greedy continuations equal PyTorch's, id by id`(name: String) throws {
        let reference = try reference(name)
        let prompt = reference.greedy_prompt_ids
        var random = SeededGenerator(seed: 0)
        let checkpoint = try checkpoint(name)
        let model = try ServingModel(config: checkpoint.config, parameters: checkpoint.parameters)
        let ids = Generator(model: model).continuation(
            of: prompt, count: reference.greedy_ids.count - prompt.count, generator: &random)
        #expect(prompt + ids == reference.greedy_ids)
        #expect(String(decoding: try tokenizer(name).decode(reference.greedy_ids), as: UTF8.self) == reference.greedy_text)
    }

    @Test(arguments: models, ["tinystories_sample", "shakespeare_val_first32768B", "wikitext2_test_first32768B"])
    func `perplexities equal PyTorch's`(name: String, text: String) throws {
        for (variant, folder) in [("kv4 (original)", name), ("kv8 (expanded MHA)", name + "-mha8")] {
            let expected = try #require(try reference(name).perplexity[variant]?[text])
            let windows = WindowPolicy(bos: .always).windows(try documents(text), tokenizer: try tokenizer(name), bosID: 1)
            let result = try Perplexity.evaluate(try load(folder), windows)
            #expect(result.tokensScored == expected.tokens)
            // Float32 logits summed in another order: five digits and more agree.
            #expect(abs(result.perplexity / expected.ppl - 1) < 1e-5, "\(result.perplexity) against \(expected.ppl)")
            #expect(abs(result.bitsPerByte / expected.bits_per_byte - 1) < 1e-5)
            #expect(abs(result.nll / expected.nll_nats - 1) < 1e-5)
        }
    }
}
