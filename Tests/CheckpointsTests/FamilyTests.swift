import Autograd
import Foundation
import Inference
import JSON
import Kernels
import Models
import TestSupport
import Testing

@testable import Checkpoints

/// Tiny random models of each family against what transformers computes with them: see Fixtures/make_families.py.
@Suite struct FamilyTests {
    static let names = [
        "qwen2", "qwen2-window", "qwen3", "qwen3-bias", "mistral", "llama-bias", "llama-linear", "llama-llama3", "llama-yarn",
        "gpt2", "gpt2-relu", "neox", "neox-sequential", "neox-unbiased",
        "deepseek", "deepseek-linear",
    ]
    let scratch = ScratchDirectory()

    private static func folder(_ name: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures/families/" + name).path
    }

    @Test func `every family of the table has models here`() throws {
        let types = try Self.names.map { try HuggingFaceConfig(path: Self.folder($0) + "/config.json").modelType }
        #expect(Set(types) == Set(ModelFamilies.all.map(\.modelType)))
    }

    private struct Reference {
        var model: Checkpoint
        var family: any ModelFamily
        var tensors: SafetensorsFile
        var input: ModelInput

        init(_ name: String) throws {
            let folder = FamilyTests.folder(name)
            model = try ModelImport.load(folder)
            family = try ModelFamilies.family(of: model.config)
            tensors = try SafetensorsFile(path: folder + "/reference.safetensors")
            let tokens = try #require(try tensors.weight("tokens")).float32().array().map { Int32($0) }
            input = ModelInput(batch: 2, seq: tokens.count / 2, tokens: tokens)
        }

        /// The gradient of one of kvlab's weights, out of the tensor that transformers has it in.
        func gradient(_ name: WeightName, shape: [Int]) throws -> [Float] {
            let place = family.place(name, shape: shape, model.config)
            return place.taken(from: try #require(try tensors.weight("gradient." + place.name), "\(name)")).float32().array()
        }

        func values(_ name: String) throws -> [Float] { try #require(try tensors.weight(name), "\(name)").float32().array() }
    }

    @Test(arguments: names)
    func `logits equal those of transformers`(name: String) throws {
        let reference = try Reference(name)
        let decoder = try DecoderLM(config: reference.model.config, parameters: reference.model.parameters)
        #expect(differences(decoder.logits(reference.input).values, try reference.values("logits"), absolute: 5e-5) == [])
    }

    @Test(arguments: names, [Recompute.none, .block])
    func `loss and gradients equal those of transformers`(name: String, recompute: Recompute) throws {
        let reference = try Reference(name)
        let config = reference.model.config
        var tensors: [String: Tensor] = [:]
        for name in reference.model.parameters.names {
            let weight = try #require(reference.model.parameters[name])
            tensors[name] = .variable(Tensor(shape: Shape(weight.shape), storage: weight.float32()))
        }
        var decoder = try DecoderLM(config: config, tensors: tensors)
        decoder.compute.recompute = recompute
        let (tokens, seq) = (reference.input.tokens, reference.input.seq)
        let targets = tokens.indices.map { $0 % seq == seq - 1 ? -1 : tokens[$0 + 1] }
        let loss = decoder.loss(reference.input, targets: targets)
        #expect(abs(loss.scalar - (try reference.values("loss"))[0]) < 2e-5)
        let gradients = loss.gradients()
        for (name, _) in config.weights {
            let variable = try #require(tensors["\(name)"])
            let expected = try reference.gradient(name, shape: variable.shape.dimensions)
            let found = try #require(gradients[variable], "no gradient for \(name)").values
            let largest = expected.map(abs).max() ?? 0
            #expect(differences(found, expected, absolute: Double(1e-4 * largest + 1e-6)) == [], "\(name)")
        }
    }

    @Test(arguments: names)
    func `decoding with a cache gives the same logits`(name: String) throws {
        let reference = try Reference(name)
        let config = reference.model.config
        let decoder = try DecoderLM(config: config, parameters: reference.model.parameters)
        let seq = reference.input.seq
        let tokens = Array(reference.input.tokens[..<seq])
        let expected = decoder.logits(ModelInput(batch: 1, seq: seq, tokens: tokens)).values
        let model = try ServingModel(config: config, parameters: reference.model.parameters)
        var cache = ContiguousKVCache(config: config, capacity: seq)
        var done = 0
        for count in [7, 1, 1, 4, 1, seq - 14] {
            let step = RaggedBatch(sequences: [0], counts: [count], tokens: Array(tokens[done..<done + count]))
            done += count
            let row = expected[(done - 1) * config.vocabularySize..<done * config.vocabularySize]
            #expect(differences(model.logits(step, cache: &cache).array(), Array(row), absolute: 5e-5) == [], "at \(done)")
        }
    }

    @Test(arguments: names)
    func `serving computes the same`(name: String) throws {
        let reference = try Reference(name)
        let config = reference.model.config
        let store = try PageStore(bytes: 1 << 20, pageBytes: 4096)
        var cache = try PagedKVCache(config: config, store: store)
        cache.add(0)
        let model = try ServingModel(config: config, parameters: reference.model.parameters)
        let seq = reference.input.seq
        let step = RaggedBatch(sequences: [0], counts: [seq], tokens: Array(reference.input.tokens[..<seq]))
        let logits = model.logits(step, rows: (0..<Int32(seq)).map { $0 }, cache: &cache).array()
        #expect(differences(logits, Array(try reference.values("logits")[..<logits.count]), absolute: 5e-4) == [])
    }

    @Test(arguments: names)
    func `an exported model is imported equal`(name: String) throws {
        var model = try Reference(name).model
        try HuggingFaceFolder.export(model, to: scratch["hf"])
        try model.save(to: scratch["m.h5"])
        for path in ["hf", "m.h5"] {
            let again = try ModelImport.load(scratch[path])
            #expect(again.config == model.config)
            #expect(again.tokenIDs == model.tokenIDs)
            #expect(again.parameters.names == model.parameters.names)
            for name in model.parameters.names {
                #expect(again.parameters[name]?.float32().array() == model.parameters[name]?.float32().array(), "\(name)")
            }
        }
        if ["qwen2", "llama-bias", "llama-linear", "llama-llama3", "llama-yarn"].contains(name) {
            // llama.cpp's llama has biases and scaled RoPE too.
            try GGUFExport.write(model, to: scratch["m.gguf"])
            let again = try ModelImport.load(scratch["m.gguf"])
            for name in model.parameters.names { #expect(again.parameters[name]?.bytes == model.parameters[name]?.bytes) }
            let frequencies = [again, model].map { $0.config.ropeFrequencies(headDim: model.config.headDim[0]) }
            for (one, other) in zip(frequencies[0], frequencies[1]) { #expect(abs(one / other - 1) < 3e-6) }
            #expect(again.config.ropeScaling?.kind == model.config.ropeScaling?.kind)
        } else if !model.config.partsBeyondLlama.isEmpty {
            #expect(throws: ImportError.self) { try GGUFExport.write(model, to: scratch["m.gguf"]) }
        }
        if !model.config.partsBeyondLlama.isEmpty {
            #expect(throws: ImportError.self) { try Llama2cFile.export(model, to: scratch["l2c"]) }
        }
        model.config.hasOutputBias = true
        model.config.hasQueryKeyValueBias = nil
        #expect(throws: (any Error).self) { try HuggingFaceFolder.export(model, to: scratch["other"]) }
    }

    private static let converted = ["deepseek-converted"]

    /// A latent child as conversion makes it, whose latents have no norm.
    private func converted() throws -> Checkpoint {
        var model = try Reference("deepseek").model
        model.config.latent?.hasNorm = false
        for layer in 0..<model.config.layers { model.parameters["model.layers.\(layer).self_attn.kv_a_layernorm.weight"] = nil }
        try model.parameters.validate(against: model.config)
        return model
    }

    @Test func `latents without a norm are exported with one that changes nothing`() throws {
        let model = try converted()
        let input = try Reference("deepseek").input
        try HuggingFaceFolder.export(model, to: scratch["hf"])
        let again = try ModelImport.load(scratch["hf"])
        #expect(again.config.latent?.isNormed == true)
        let logits = try [model, again].map { try DecoderLM(config: $0.config, parameters: $0.parameters).logits(input).values }
        #expect(differences(logits[1], logits[0], absolute: 1e-5) == [])
        let error = #expect(throws: ImportError.self) {
            try HuggingFaceFolder.export(model, to: scratch["half"], elementType: .float16)
        }
        #expect(error?.description.contains("float16 is too narrow") == true)
        #expect(!scratch.names.contains("half"))
    }

    @Test(.enabled(if: Python.has("transformers"), "python3 has no transformers module"))
    func `transformers loads every export strictly and computes the same logits`() throws {
        let script = """
            import json, sys, torch
            from transformers import AutoModelForCausalLM
            results = {}
            for path in sys.argv[1:]:
                model, info = AutoModelForCausalLM.from_pretrained(path, output_loading_info=True, dtype=torch.float32)
                assert not any(len(value) for value in info.values()), info
                tokens = torch.tensor(json.load(open(path + ".json")))
                with torch.no_grad(): results[path.split("/")[-1]] = model(tokens).logits.flatten().tolist()
            print(json.dumps(results))
            """
        var expected: [String: [Float]] = [:]
        for name in Self.names + Self.converted {
            let isConverted = Self.converted.contains(name)
            var reference = try Reference(isConverted ? "deepseek" : name)
            if isConverted { reference.model = try converted() }
            try HuggingFaceFolder.export(reference.model, to: scratch[name])
            let seq = reference.input.seq
            let rows = [Array(reference.input.tokens[..<seq]), Array(reference.input.tokens[seq...])]
            try scratch.write(Array("\(rows)".utf8), to: name + ".json")
            let decoder = try DecoderLM(config: reference.model.config, parameters: reference.model.parameters)
            expected[name] = decoder.logits(reference.input).values
        }
        let result = try Python.run(script, expected.keys.sorted().map { scratch[$0] })
        #expect(result.status == 0, "\(result.errors.suffix(2000))")
        let found = try JSONDecoder().decode([String: [Float]].self, from: Data(result.output.utf8))
        for name in expected.keys.sorted() {
            #expect(differences(try #require(found[name]), try #require(expected[name]), absolute: 1e-4) == [], "\(name)")
        }
    }
}
