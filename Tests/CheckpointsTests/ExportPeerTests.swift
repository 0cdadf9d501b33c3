import Checkpoints
import Foundation
import Inference
import Kernels
import Models
import Random
import TestSupport
import Testing
import Text

/// Exports of real models, run by the programs they are for.
@Suite(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"))
struct ExportPeerTests {
    let scratch = ScratchDirectory()

    private static let greedy = """
        import json, sys, llama_cpp
        model = llama_cpp.Llama(sys.argv[1], n_ctx=128, verbose=False, n_threads=1)
        tokens = json.loads(sys.argv[2])
        model.eval(tokens)
        for _ in range(40):
            tokens.append(model.sample(temp=0.0))
            model.eval(tokens[-1:])
        texts = ["Once upon a time, there was a girl.", " two  spaces, é and 日本\\n"]
        ids = [model.tokenize(text.encode(), add_bos=False, special=False) for text in texts] if sys.argv[3] == "tokenizer" else []
        print(json.dumps({"tokens": tokens, "ids": ids}))
        """

    private struct Answer: Decodable {
        var tokens: [Int32]
        var ids: [[Int32]]
    }

    private func continued(_ model: Checkpoint, _ prompt: [Int32]) throws -> [Int32] {
        var generator = SeededGenerator(seed: 0)
        let serving = try ServingModel(config: model.config, parameters: model.parameters)
        return prompt + Generator(model: serving).continuation(of: prompt, count: 40, generator: &generator)
    }

    @Test(
        .enabled(if: Python.has("llama_cpp"), "python3 has no llama_cpp module"),
        arguments: ["stories260K", "tinystories-656k", "stories260K-mha8"])
    func `llama.cpp continues an export with the same greedy tokens`(name: String) throws {
        var model = try ModelImport.load(SharedData.path("models/" + name))
        if name == "stories260K" {
            model = try ModelImport.load(
                SharedData.path("models/stories260K/stories260K.bin"), tokenizer: SharedData.path("models/stories260K/tok512.bin")
            )
        }
        let omitted = try GGUFExport.write(model, to: scratch["m.gguf"])
        let hasTokenizer = model.tokenizer != nil && omitted == nil
        let prompt: [Int32] = [1, 403, 407, 261, 378]
        let result = try Python.run(Self.greedy, [scratch["m.gguf"], "\(prompt)", hasTokenizer ? "tokenizer" : "none"])
        #expect(result.status == 0, "\(result.errors.suffix(800))")
        let answer = try JSONDecoder().decode(Answer.self, from: Data(result.output.utf8))
        #expect(try continued(model, prompt) == answer.tokens)
        #expect(try continued(try ModelImport.load(scratch["m.gguf"]), prompt) == answer.tokens)
        guard let tokenizer = model.tokenizer, hasTokenizer else { return }
        let texts = ["Once upon a time, there was a girl.", " two  spaces, é and 日本\n"]
        let own = try TokenizerFile.load(tokenizer)
        #expect(texts.map { own.encode($0) } == answer.ids)
        let again = try TokenizerFile.load(try #require(try ModelImport.load(scratch["m.gguf"]).tokenizer))
        #expect(texts.map { again.encode($0) } == answer.ids)
    }

    @Test(.enabled(if: Python.has("llama_cpp"), "python3 has no llama_cpp module"))
    func `llama.cpp runs a model whose KV heads differ from layer to layer`() throws {
        var model = try ModelImport.load(SharedData.path("models/stories260K-mha8"))
        // Its KV heads come in equal pairs: one of each is enough in the odd layers.
        let (layers, d) = (model.config.layers, model.config.headDim[0])
        model.config.kvHeads = .each((0..<layers).map { $0 % 2 == 0 ? 8 : 4 })
        for layer in stride(from: 1, to: layers, by: 2) {
            for part in ["k_proj", "v_proj"] {
                let name = "model.layers.\(layer).self_attn.\(part).weight"
                let weight = try #require(model.parameters[name])
                let rows = d * weight.shape[1]
                let values = weight.float32().array()
                let kept = (0..<4).flatMap { values[2 * $0 * rows..<(2 * $0 + 1) * rows] }
                model.parameters[name] = Weight(shape: [4 * d, weight.shape[1]], storage: Storage(copying: kept))
            }
        }
        try GGUFExport.write(model, to: scratch["m.gguf"])
        let prompt: [Int32] = [1, 403, 407, 261, 378]
        let result = try Python.run(Self.greedy, [scratch["m.gguf"], "\(prompt)", "none"])
        #expect(result.status == 0, "\(result.errors.suffix(800))")
        let answer = try JSONDecoder().decode(Answer.self, from: Data(result.output.utf8))
        #expect(try continued(model, prompt) == answer.tokens)
    }

    @Test(.enabled(if: Python.has("llama_cpp"), "python3 has no llama_cpp module"), arguments: 0..<4)
    func `llama.cpp computes scaled RoPE and biases as kvlab does`(number: Int) throws {
        var model = try ModelImport.load(SharedData.path("models/stories260K-mha8"))
        model.tokenizer = nil
        var llama = RopeScaling(kind: .llama3, factor: 8, originalMaxSequence: 64)
        (llama.lowFrequencyFactor, llama.highFrequencyFactor) = (1, 4)
        let kinds = [
            RopeScaling(kind: .linear, factor: 2), llama, RopeScaling(kind: .yarn, factor: 4, originalMaxSequence: 64), nil,
        ]
        model.config.ropeScaling = kinds[number]
        if number == 3 {
            (model.config.hasQueryKeyValueBias, model.config.hasOutputBias) = (true, true)
            model.config.hasFeedForwardBias = true
            var random = SeededGenerator(seed: 3)
            for (name, shape) in model.config.weightShapes where name.hasSuffix(".bias") {
                let values = (0..<shape[0]).map { _ in Float(random.uniform() - 0.5) }
                model.parameters[name] = Weight(shape: shape, storage: Storage(copying: values))
            }
        }
        try GGUFExport.write(model, to: scratch["m.gguf"])
        let tokens: [Int32] = [1, 403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338, 401, 396, 267]
        let script = """
            import json, sys, llama_cpp
            model = llama_cpp.Llama(sys.argv[1], n_ctx=128, verbose=False, n_threads=1, logits_all=True)
            tokens = json.loads(sys.argv[2])
            model.eval(tokens)
            print(json.dumps([[float(x) for x in row] for row in model.scores[:len(tokens)]]))
            """
        let result = try Python.run(script, [scratch["m.gguf"], "\(tokens)"])
        #expect(result.status == 0, "\(result.errors.suffix(800))")
        let expected = try JSONDecoder().decode([[Float]].self, from: Data(result.output.utf8)).flatMap { $0 }
        let input = ModelInput(batch: 1, seq: tokens.count, tokens: tokens)
        for model in [model, try ModelImport.load(scratch["m.gguf"])] {
            let found = try DecoderLM(config: model.config, parameters: model.parameters).logits(input).values
            let largest = zip(found, expected).map { abs($0 - $1) }.max() ?? .infinity
            // llama.cpp keeps keys and values in half precision here: 0.01 on logits of up to 20; another rotation gives 1 and more.
            #expect(found.count == expected.count && largest < 0.05, "\(largest)")
        }
    }

    @Test func `a llama2.c export is the file it came from, but for RoPE's tables`() throws {
        let path = SharedData.path("models/stories260K/")
        let model = try ModelImport.load(path + "stories260K.bin", tokenizer: path + "tok512.bin")
        #expect(try Llama2cFile.export(model, to: scratch["l2c"]) == nil)
        let original = [UInt8](try #require(FileManager.default.contents(atPath: path + "stories260K.bin")))
        let written = scratch.bytes("l2c/model.bin")
        let tables = 4 * model.config.maxSequence * model.config.headDim[0]
        #expect(written.count == original.count)
        #expect(written.dropLast(tables) == original.dropLast(tables))
        #expect(
            scratch.bytes("l2c/tokenizer.bin") == [UInt8](try #require(FileManager.default.contents(atPath: path + "tok512.bin")))
        )
        func floats(_ bytes: [UInt8]) -> [Float] {
            stride(from: 0, to: bytes.count, by: 4).map { at in
                Float(bitPattern: (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << (8 * UInt32($1)) })
            }
        }
        for (one, other) in zip(floats(Array(written.suffix(tables))), floats(Array(original.suffix(tables)))) {
            #expect(abs(one - other) < 1e-4)
        }
    }

    @Test func `what llama2.c cannot compute is refused by name`() throws {
        let model = try ModelImport.load(SharedData.path("models/tinystories-656k"))
        let error = #expect(throws: ImportError.self) { try Llama2cFile.export(model, to: scratch["x"]) }
        #expect(error?.description.contains("rms_norm_eps") == true)
        #expect(scratch.names.isEmpty)
    }
}
