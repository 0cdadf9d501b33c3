import Files
import Foundation
import Kernels
import Models
import TestSupport
import Testing
import Text

@testable import Checkpoints

@Suite struct HuggingFaceFolderTests {
    let scratch = ScratchDirectory()

    private var exportable: Checkpoint {
        var checkpoint = TinyCheckpoint.make(trained: false)
        checkpoint.config.kvHeads = .all(1)
        checkpoint.parameters = TinyCheckpoint.parameters(checkpoint.config)
        checkpoint.tokenizer?.bytes = Array(#"{"added_tokens": [{"id": 1, "content": "<s>"}], "model": {}}"#.utf8)
        return checkpoint
    }

    @Test(arguments: [true, false])
    func `an exported model is imported equal`(tied: Bool) throws {
        var checkpoint = exportable
        checkpoint.config.tiedEmbeddings = tied
        checkpoint.parameters = TinyCheckpoint.parameters(checkpoint.config)
        let names = try HuggingFaceFolder.export(checkpoint, to: scratch["hf"])
        #expect(
            names == [
                "README.md", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
                "tokenizer_config.json",
            ])
        let loaded = try ModelImport.load(scratch["hf"])
        checkpoint.tokenIDs.specialTokens = ["bos_token": "<s>"]
        #expect(loaded.config == checkpoint.config)
        #expect(loaded.tokenIDs == checkpoint.tokenIDs)
        #expect(loaded.tokenizer == checkpoint.tokenizer)
        #expect(loaded.parameters.names == checkpoint.parameters.names)
        for name in loaded.parameters.names { #expect(loaded.parameters[name]?.bytes == checkpoint.parameters[name]?.bytes) }
        #expect(scratch.names == ["hf"])
    }

    @Test func `chat template, special tokens, generation settings and licence go in and come out, and the card says where from`()
        throws
    {
        var checkpoint = exportable
        checkpoint.lineage.conversion = "mean, 2 to 1 KV heads"
        checkpoint.lineage.recipe = "{\"name\": \"tiny\"}"
        try HuggingFaceFolder.export(checkpoint, to: scratch["a"])
        let template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"
        let generation = #"{"bos_token_id": 1, "eos_token_id": [2], "temperature": 0.6, "top_p": 0.9}"#
        try scratch.write(Array(generation.utf8), to: "a/generation_config.json")
        let settings = #"""
            {"bos_token": "<s>", "pad_token": {"content": "<s>", "special": true}, "unk_token": null,
             "chat_template": [{"name": "tools", "template": "x"}, {"name": "default", "template": "DEFAULT"}]}
            """#
        try scratch.write(Array(settings.utf8), to: "a/tokenizer_config.json")
        try scratch.write(Array("---\nlicense: apache-2.0\n---\n# A parent\nlicense: other\n".utf8), to: "a/README.md")
        #expect(try ModelImport.load(scratch["a"]).tokenIDs.chatTemplate == "DEFAULT")
        try scratch.write(Array(template.utf8), to: "a/chat_template.jinja")
        var loaded = try ModelImport.load(scratch["a"])
        #expect(loaded.tokenIDs.chatTemplate == template)
        #expect(loaded.tokenIDs.specialTokens == ["bos_token": "<s>", "pad_token": "<s>"])
        #expect(loaded.tokenIDs.license == "apache-2.0")
        #expect(loaded.tokenIDs.generationConfig == generation)
        loaded.lineage = checkpoint.lineage
        try loaded.save(to: scratch["a.h5"])
        let stored = try ModelImport.load(scratch["a.h5"])
        #expect(stored.tokenIDs == loaded.tokenIDs)
        try HuggingFaceFolder.export(stored, to: scratch["b"])
        #expect(try ModelImport.load(scratch["b"]).tokenIDs == loaded.tokenIDs)
        #expect(String(decoding: scratch.bytes("b/config.json"), as: UTF8.self).contains("\"pad_token_id\": 1"))
        let card = String(decoding: scratch.bytes("b/README.md"), as: UTF8.self)
        for part in ["license: apache-2.0", "mean, 2 to 1 KV heads", "\"name\": \"tiny\"", "bytes per token in fp16", "MQA"] {
            #expect(card.contains(part), "\(part)")
        }
        loaded.tokenizer = nil
        try GGUFExport.write(loaded, to: scratch["m.gguf"])
        let gguf = try ModelImport.load(scratch["m.gguf"]).tokenIDs
        #expect(gguf.chatTemplate == template)
        #expect(gguf.license == "apache-2.0")
    }

    @Test func `a folder that is there is not written over, an empty one is filled`() throws {
        try FileManager.default.createDirectory(atPath: scratch["hf"], withIntermediateDirectories: false)
        try HuggingFaceFolder.export(exportable, to: scratch["hf"] + "/")
        #expect(throws: ImportError.occupied(path: scratch["hf"])) { try HuggingFaceFolder.export(exportable, to: scratch["hf"]) }
        #expect(throws: FileError.self) { try HuggingFaceFolder.export(exportable, to: scratch["no/such/hf"]) }
        #expect(scratch.names == ["hf"])
    }

    @Test func `heads that differ between layers have no Hugging Face form`() throws {
        let error = #expect(throws: ImportError.self) { try HuggingFaceFolder.export(TinyCheckpoint.make(), to: scratch["hf"]) }
        #expect(
            error?.description
                == "this model has no Hugging Face form: 'num_key_value_heads' differs between layers ([2, 1]), config.json has one for all"
        )
        #expect(scratch.names.isEmpty)
    }

    /// Replaces the exported single file by shards and their index.
    private func shard(_ index: (inout [String: String]) -> Void = { _ in }) throws {
        let checkpoint = exportable
        try HuggingFaceFolder.export(checkpoint, to: scratch["hf"])
        try FileManager.default.removeItem(atPath: scratch["hf/model.safetensors"])
        let names = checkpoint.parameters.names
        var map: [String: String] = [:]
        for (number, part) in [names[..<5], names[5...]].enumerated() {
            let shard = "model-0000\(number + 1)-of-00002.safetensors"
            try SafetensorsWriter.write(part.map { ($0, checkpoint.parameters[$0]!) }, to: scratch["hf/" + shard])
            for name in part { map[name] = shard }
        }
        index(&map)
        let json = try JSONEncoder().encode(["weight_map": map])
        try scratch.write(json, to: "hf/model.safetensors.index.json")
    }

    @Test func `shards are read through their index`() throws {
        try shard()
        let loaded = try HuggingFaceFolder.load(scratch["hf"])
        for name in loaded.parameters.names { #expect(loaded.parameters[name]?.bytes == exportable.parameters[name]?.bytes) }
    }

    @Test(arguments: ["../x.safetensors", "/etc/passwd", "a\\b.safetensors", "", "..", "absent.safetensors"])
    func `an index that leads elsewhere is refused`(shard name: String) throws {
        try shard { $0["model.norm.weight"] = name }
        #expect(throws: (any Error).self) { try HuggingFaceFolder.load(scratch["hf"]) }
    }

    @Test func `missing, superfluous and misshapen tensors are named`() throws {
        let checkpoint = exportable
        func load(_ change: (inout [(String, Weight)]) -> Void) throws -> ImportError? {
            try? FileManager.default.removeItem(atPath: scratch["hf"])
            try HuggingFaceFolder.export(checkpoint, to: scratch["hf"])
            var weights = checkpoint.parameters.names.map { ($0, checkpoint.parameters[$0]!) }
            change(&weights)
            try SafetensorsWriter.write(weights, to: scratch["hf/model.safetensors"])
            do { _ = try HuggingFaceFolder.load(scratch["hf"]) } catch let error as ImportError { return error }
            return nil
        }
        let one = Weight(shape: [1], storage: Storage(copying: [1]))
        #expect(
            try load { $0.removeAll { $0.0 == "lm_head.weight" } }?.description.contains("'lm_head.weight' is missing") == true)
        #expect(try load { $0.append(("model.extra", one)) }?.description.contains("'model.extra' belongs to no layer") == true)
        #expect(try load { $0[0].1 = one }?.description.contains("is [1], but the configuration wants [6, 4]") == true)
        #expect(try load { $0.append(("model.layers.0.self_attn.rotary_emb.inv_freq", one)) } == nil)
    }

    @Test func `a folder that is no model is refused`() throws {
        #expect(throws: ImportError.self) { try ModelImport.load(scratch.path) }
        try scratch.write(Array("{}".utf8), to: "config.json")
        #expect(throws: ImportError.missingKey(path: scratch["config.json"], key: "model_type")) {
            try ModelImport.load(scratch.path)
        }
    }

    @Test(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"), arguments: ["stories260K", "tinystories-656k"])
    func `the shared models are imported with every weight as it is`(model: String) throws {
        let folder = SharedData.path("models/" + model)
        let loaded = try HuggingFaceFolder.load(folder)
        try loaded.save(to: scratch["a.h5"])
        let checkpoint = try Checkpoint.load(scratch["a.h5"])
        let file = try SafetensorsFile(path: folder + "/model.safetensors")
        #expect(checkpoint.tokenIDs.bos == 1 && checkpoint.tokenIDs.eos == [2])
        for name in checkpoint.parameters.names {
            let stored = try file.weight(name) ?? file.weight("lm_head.weight")
            #expect(checkpoint.parameters[name]?.bytes == stored?.bytes)
        }
        #expect(checkpoint.parameters.count == (model == "stories260K" ? 260_032 : 656_000))
    }

    @Test(
        .enabled(if: SharedData.isPresent, "\(SharedData.skipped)"),
        .enabled(if: Python.has("transformers, torch"), "python3 with transformers is not installed"))
    func `an exported model has equal logits in transformers`() throws {
        let folder = SharedData.path("models/tinystories-656k")
        try HuggingFaceFolder.load(folder).save(to: scratch["a.h5"])
        try HuggingFaceFolder.export(try Checkpoint.load(scratch["a.h5"]), to: scratch["hf"])
        let script = """
            import sys, torch
            from transformers import AutoModelForCausalLM, AutoTokenizer
            from safetensors.torch import load_file
            model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
            reference = load_file(sys.argv[2] + "/ref_logits.safetensors")
            ids = reference["input_ids"].long().reshape(1, -1)
            with torch.no_grad(): logits = model(ids).logits[0]
            print(float((logits - reference["logits"]).abs().max()) < 1e-4)
            tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
            print(tokenizer.bos_token, len(tokenizer("once upon a time")["input_ids"]) > 2)
            """
        let result = try Python.run(script, [scratch["hf"], folder])
        #expect(result.output == "True\n<|start_story|> True\n", "\(result.errors)")
    }

    @Test func `what a killed export left behind goes with the next one, what a living one writes stays`() throws {
        let checkpoint = TinyCheckpoint.make(trained: false)
        let (dead, living) = (scratch["a.kvlab-tmp-1-0"], scratch["a.kvlab-tmp-2-0"])
        for folder in [dead, living] {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        }
        try scratch.write([1], to: "a.kvlab-tmp-1-0/model.safetensors")
        let lock = open(living, O_RDONLY | O_DIRECTORY)
        #expect(flock(lock, LOCK_EX) == 0)
        defer { close(lock) }
        try Llama2cFile.export(uniform(checkpoint), to: scratch["a"])
        #expect(scratch.names == ["a", "a.kvlab-tmp-2-0"])
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch["a"]).contains("README.md"))
    }

    /// A model that llama2.c computes.
    private func uniform(_ checkpoint: Checkpoint) -> Checkpoint {
        var model = checkpoint
        model.config.kvHeads = .all(1)
        model.parameters = TinyCheckpoint.parameters(model.config)
        model.tokenizer = nil
        // What llama2.c's program has built in.
        (model.config.normEpsilon, model.config.ropeTheta) = (1e-5, 10_000)
        return model
    }

    @Test func `a model card has the figures of the run, and no notes that tools leave for themselves`() throws {
        var model = uniform(TinyCheckpoint.make(trained: false))
        model.lineage.notes = ["left": "by a tool"]
        model.lineage.training = TrainingBasis(
            steps: 3, batch: 2, seq: 8, schedule: LearningRateSchedule(shape: .cosine, peak: 0.1, steps: 3))
        model.lineage.figures = Lineage.Figures(validationLoss: 1.5, validationBitsPerByte: 0.8)
        try HuggingFaceFolder.export(model, to: scratch["hf"])
        let card = String(decoding: scratch.bytes("hf/README.md"), as: UTF8.self)
        #expect(card.contains("| bits per byte | 0.80000 |") && card.contains("| perplexity | 4.4817 |"))
        #expect(!card.contains("by a tool") && !card.contains("cosine"))
        try GGUFExport.write(model, to: scratch["m.gguf"])
        let description = try GGUFFile(MappedFile(path: scratch["m.gguf"])).metadata["general.description"]?.string
        #expect(description?.contains("| bits per byte | 0.80000 |") == true)
    }

    @Test func `a file that is but a part of a model, or runs code, is refused with what to give instead`() throws {
        let model = uniform(TinyCheckpoint.make(trained: false))
        try HuggingFaceFolder.export(model, to: scratch["hf"])
        try scratch.write([0x50, 0x4b, 3, 4] + [UInt8](repeating: 0, count: 100), to: "pytorch_model.bin")
        try scratch.write(Array("just some text, and more of it".utf8), to: "notes.txt")
        for (name, words) in [
            ("hf/model.safetensors", "name the folder that holds both"), ("hf/config.json", "a JSON file is no model"),
            ("pytorch_model.bin", "save the model with safetensors"), ("notes.txt", "not a kvlab checkpoint"),
        ] {
            let error = #expect(throws: (any Error).self) { try ModelImport.load(scratch[name]) }
            #expect(error.map { "\($0)".contains(words) } == true, "\(name): \(String(describing: error))")
        }
    }
}
