import Files
import JSON
import Kernels
import Models
import Text

extension HuggingFaceFolder {
    /// Writes `checkpoint` as a folder that `transformers` loads, atomically.
    ///
    /// A tokenizer of another kind than `tokenizer.json` has no Hugging Face form and is left out of the files.
    /// Throws ``ImportError`` if the model has no Hugging Face form or `directory` is not empty.
    ///
    /// - Parameter elementType: the element type that weights are rounded to; nil keeps each weight's own.
    /// - Returns: the names of the files written.
    @discardableResult
    public static func export(
        _ checkpoint: Checkpoint, to directory: String, elementType: ElementType? = nil
    ) throws -> [String] {
        try checkpoint.config.validate()
        let family = try ModelFamilies.family(of: checkpoint.config)
        let checkpoint = try family.prepared(checkpoint, elementType: elementType)
        let config = try configuration(checkpoint, family, elementType: elementType)
        try checkpoint.parameters.validate(against: checkpoint.config)
        return try NewFolder.create(directory) { temporary in
            let weights = family.tensors(checkpoint.config, checkpoint.parameters)
            try SafetensorsWriter.write(weights, to: temporary + "/model.safetensors", elementType: elementType)
            var names = ["config.json", "model.safetensors"]
            var texts = [("config.json", config)]
            texts += generation(checkpoint.tokenIDs) + tokenizerFiles(checkpoint)
            if let template = checkpoint.tokenIDs.chatTemplate { texts.append(("chat_template.jinja", template)) }
            texts.append(("README.md", ModelCard.text(checkpoint, library: "transformers")))
            for (name, text) in texts { try AtomicFile.write(Array(text.utf8), to: temporary + "/" + name) }
            names = Set(names + texts.map(\.0)).sorted()
            return names
        }
    }

    /// The model's `config.json`, in keys that all versions of transformers read.
    private static func configuration(
        _ checkpoint: Checkpoint, _ family: some ModelFamily, elementType: ElementType?
    ) throws -> String {
        let types: [ElementType: String] = [.float32: "float32", .float16: "float16", .bfloat16: "bfloat16"]
        let eos = checkpoint.tokenIDs.eos
        let config = checkpoint.config
        let common = [
            ("architectures", "[\"\(family.className)\"]"), ("model_type", "\"\(family.modelType)\""),
            ("initializer_range", "0.02"), ("tie_word_embeddings", "\(config.tiedEmbeddings)"), ("use_cache", "true"),
            ("vocab_size", "\(config.vocabularySize)"),
            ("bos_token_id", checkpoint.tokenIDs.bos.map { "\($0)" } ?? "null"),
            ("eos_token_id", eos.isEmpty ? "null" : eos.count == 1 ? "\(eos[0])" : "\(eos)"),
            ("torch_dtype", "\"\(types[elementType ?? checkpoint.elementType ?? .float32] ?? "float32")\""),
        ]
        return object((common + (try family.members(config, padID: padID(checkpoint)))).sorted { $0.0 < $1.0 })
    }

    private static func generation(_ ids: TokenIDs) -> [(String, String)] {
        if let text = ids.generationConfig { return [("generation_config.json", text)] }
        guard ids.bos != nil || !ids.eos.isEmpty else { return [] }
        var members = [("_from_model_config", "true")]
        if let bos = ids.bos { members.append(("bos_token_id", "\(bos)")) }
        if !ids.eos.isEmpty { members.append(("eos_token_id", ids.eos.count == 1 ? "\(ids.eos[0])" : "\(ids.eos)")) }
        return [("generation_config.json", object(members))]
    }

    /// The added tokens of a `tokenizer.json`.
    private static func addedTokens(_ checkpoint: Checkpoint) -> [(id: Int, text: String)] {
        guard let tokenizer = checkpoint.tokenizer, tokenizer.kind == "tokenizer.json" else { return [] }
        let added = (try? JSONValue(parsing: tokenizer.bytes, nodes: 10_000_000))?["added_tokens"]?.array ?? []
        return added.compactMap { token in
            guard let id = token["id"]?.int, let text = token["content"]?.string else { return nil }
            return (id, text)
        }
    }

    private static func padID(_ checkpoint: Checkpoint) -> Int? {
        guard let pad = checkpoint.tokenIDs.specialTokens?[TokenIDs.padding] else { return nil }
        return addedTokens(checkpoint).first { $0.text == pad && $0.id < checkpoint.config.vocabularySize }?.id
    }

    /// `tokenizer.json` unchanged, and the `tokenizer_config.json` that `AutoTokenizer` needs.
    private static func tokenizerFiles(_ checkpoint: Checkpoint) -> [(String, String)] {
        guard let tokenizer = checkpoint.tokenizer, tokenizer.kind == "tokenizer.json" else { return [] }
        var members = [("clean_up_tokenization_spaces", "false")]
        let tokens = addedTokens(checkpoint)
        var special = checkpoint.tokenIDs.specialTokens ?? [:]
        for (name, id) in [("bos_token", checkpoint.tokenIDs.bos), ("eos_token", checkpoint.tokenIDs.eos.first)]
        where special[name] == nil { special[name] = id.flatMap { id in tokens.first { $0.id == Int(id) }?.text } }
        for name in TokenIDs.specialNames {
            if let text = special[name] { members.append((name, JSONValue.quoted(text))) }
        }
        members.append(("model_max_length", "\(checkpoint.config.maxSequence)"))
        members.append(("tokenizer_class", "\"PreTrainedTokenizerFast\""))
        return [
            ("tokenizer.json", String(decoding: tokenizer.bytes, as: UTF8.self)), ("tokenizer_config.json", object(members)),
        ]
    }

    private static func object(_ members: [(String, String)]) -> String {
        "{\n" + members.map { "  \"\($0.0)\": \($0.1)" }.joined(separator: ",\n") + "\n}\n"
    }
}
