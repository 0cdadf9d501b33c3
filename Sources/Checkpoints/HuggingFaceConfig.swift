import Files
import JSON
import Kernels
import Models

/// A Hugging Face `config.json`, read two ways: strictly, as a model to compute with, or for its cache geometry alone.
public struct HuggingFaceConfig: Sendable {
    /// Where it was read, for messages.
    public let path: String
    /// The family's name, such as `llama`.
    public let modelType: String
    let json: JSONValue

    /// Parses a configuration's bytes; `path` is for messages.
    public init(_ bytes: [UInt8], path: String = "config.json") throws(ImportError) {
        self.path = path
        do throws(JSONError) { json = try JSONValue(parsing: bytes) } catch { throw .json(path: path, error) }
        guard case .object = json else {
            throw .json(path: path, JSONError(offset: 0, reason: "expected an object"))
        }
        guard let type = json["model_type"] else { throw .missingKey(path: path, key: "model_type") }
        guard let name = type.string else {
            throw .wrongValue(path: path, key: "model_type", found: type.text, expected: "a string")
        }
        modelType = name
    }

    /// Reads the file at `path`.
    public init(path: String) throws {
        let file = try MappedFile(path: path)
        guard file.count <= 1 << 22 else {
            throw ImportError.invalid(path: path, reason: "\(file.count) bytes are too many for a configuration")
        }
        try self.init(try file.bytes(in: 0..<file.count), path: path)
    }

    /// The element type the weights were trained or saved in, where the configuration says so.
    public var elementType: ElementType? {
        switch (json["dtype"] ?? json["torch_dtype"])?.string {
        case "float32": .float32
        case "float16": .float16
        case "bfloat16": .bfloat16
        default: nil
        }
    }

    /// The longest sequence the model is meant for, where the configuration says so.
    public var maxSequence: Int? {
        let inner = json["text_config"] ?? json
        let value = inner["max_position_embeddings"] ?? inner["n_positions"] ?? inner["n_ctx"] ?? inner["max_seq_len"]
        return value?.int.flatMap { $0 >= 1 ? $0 : nil }
    }

    /// Special tokens, as far as the configuration names them.
    public var tokenIDs: TokenIDs { Self.tokenIDs(json) }

    static func tokenIDs(_ json: JSONValue) -> TokenIDs {
        func id(_ value: JSONValue) -> Int32? { value.int.flatMap { $0 >= 0 ? Int32(exactly: $0) : nil } }
        let eos = json["eos_token_id"]
        // Some families list several of either; text begins with the first.
        let bos = json["bos_token_id"].flatMap { $0.array?.first ?? $0 }
        return TokenIDs(bos: bos.flatMap(id), eos: (eos?.array ?? eos.map { [$0] } ?? []).compactMap(id))
    }

    /// The model the configuration describes, for computing with it.
    ///
    /// Llama, Mistral, Qwen2, Qwen3, GPT-2, GPT-NeoX and DeepSeek-V2 without experts. Every key that would change the mathematics is honoured or refused by name.
    public func modelConfig() throws(ImportError) -> ModelConfig {
        let family = try refuseUnsupported()
        if family == .gpt2 || family == .neox { return try gptConfig(family) }
        let hiddenSize = try positive("hidden_size")
        let heads = try positive("num_attention_heads")
        var config = ModelConfig(
            vocabularySize: try positive("vocab_size"), hiddenSize: hiddenSize,
            feedForwardSize: try positive("intermediate_size"),
            layers: try positive("num_hidden_layers"), heads: .all(heads),
            // Null means MHA; where it is absent some classes have a number of their own.
            kvHeads: .all(
                try positive(
                    "num_key_value_heads", default: json.has("num_key_value_heads") ? heads : family.defaultKVHeads ?? heads)),
            headDim: .all(try headDim(hiddenSize: hiddenSize, heads: heads, family)),
            maxSequence: try positive("max_position_embeddings", default: family.defaultMaxSequence),
            normEpsilon: try number("rms_norm_eps", default: 1e-6), ropeTheta: try ropeTheta(),
            tiedEmbeddings: try flag("tie_word_embeddings") ?? false)
        guard config.layers <= 4096 else {
            throw .invalid(path: path, reason: "'num_hidden_layers' \(config.layers) is above 4096")
        }
        try addParts(family, to: &config)
        do throws(ModelConfigError) { try config.validate() } catch { throw .invalid(path: path, reason: error.description) }
        return config
    }

    private func headDim(hiddenSize: Int, heads: Int, _ family: HuggingFaceFamily) throws(ImportError) -> Int {
        if family == .deepseek { return try latentHeadDim() }
        if json["head_dim"] != nil { return try positive("head_dim") }
        if !json.has("head_dim"), let dim = family.defaultHeadDim { return dim }
        guard hiddenSize % heads == 0 else {
            throw .invalid(
                path: path,
                reason: "'hidden_size' \(hiddenSize) is no multiple of 'num_attention_heads' \(heads), and there is no 'head_dim'"
            )
        }
        return hiddenSize / heads
    }

    /// How positions are turned, and the key that says it: `rope_scaling`, or `rope_parameters` as transformers 5 writes it.
    ///
    /// transformers takes the former where both are there, so they have to agree.
    func ropeSettings() throws(ImportError) -> (key: String, value: JSONValue)? {
        var found: (key: String, value: JSONValue)?
        for key in ["rope_scaling", "rope_parameters"] {
            guard let value = json[key] else { continue }
            guard let members = value.members else {
                throw .wrongValue(path: path, key: key, found: value.text, expected: "an object or null")
            }
            if members.isEmpty { continue }
            if let found, found.value != value {
                throw .invalid(
                    path: path, reason: "'rope_scaling' and 'rope_parameters' say different things; leave one of them out")
            }
            found = found ?? (key, value)
        }
        return found
    }

    /// RoPE's base: from ``ropeSettings()``, else from the family's own key.
    func ropeTheta(_ ownKey: String = "rope_theta") throws(ImportError) -> Double {
        let own = json[ownKey] == nil ? nil : try number(ownKey, default: 0)
        guard let settings = try ropeSettings(), let value = settings.value["rope_theta"] else { return own ?? 10_000 }
        guard let theta = value.double else {
            throw .wrongValue(path: path, key: settings.key + ".rope_theta", found: value.text, expected: "a number")
        }
        if let own, own != theta {
            throw .invalid(path: path, reason: "'\(ownKey)' is \(own), but '\(settings.key).rope_theta' is \(theta)")
        }
        return theta
    }

    private func refuseUnsupported() throws(ImportError) -> HuggingFaceFamily {
        guard let family = HuggingFaceFamily(rawValue: modelType) else {
            throw .unsupported(path: path, key: "model_type", found: "'\(modelType)'", supported: HuggingFaceFamily.names)
        }
        func refuse(_ key: String, _ value: JSONValue, _ supported: String) -> ImportError {
            .unsupported(path: path, key: key, found: value.text, supported: supported)
        }
        if let found = json["architectures"] {
            guard let names = found.array?.compactMap(\.string), !names.isEmpty,
                names.allSatisfy({ $0 == family.className })
            else { throw refuse("architectures", found, family.className) }
        }
        let isGPT = family == .gpt2 || family == .neox
        if !isGPT, let value = json["hidden_act"], !["silu", "swish"].contains(value.string) {
            throw refuse("hidden_act", value, "silu")
        }
        for key in Self.falseOnly {
            if let value = json[key], value != .bool(false) { throw refuse(key, value, "false") }
        }
        for key in Self.trueOnly {
            if let value = json[key], value != .bool(true) { throw refuse(key, value, "true") }
        }
        for key in Self.absentOnly where family != .deepseek || key != "kv_lora_rank" {
            if let value = json[key] { throw refuse(key, value, "null") }
        }
        for key in Self.oneOnly where !isGPT || key != "partial_rotary_factor" {
            if let value = json[key], value.double != 1 { throw refuse(key, value, "1") }
        }
        return family
    }

    private static let falseOnly = [
        "use_qk_norm", "qk_norm", "is_encoder_decoder", "add_cross_attention",
    ]
    private static let trueOnly = ["is_causal"]
    private static let absentOnly = [
        "quantization_config", "attn_logit_softcapping", "final_logit_softcapping", "num_local_experts",
        "num_experts", "clip_qkv", "kv_lora_rank",
    ]
    private static let oneOnly = [
        "pretraining_tp", "partial_rotary_factor", "embedding_multiplier", "residual_multiplier", "logits_scaling", "logit_scale",
    ]
}

extension HuggingFaceConfig {
    func positive(_ key: String, default fallback: Int? = nil) throws(ImportError) -> Int {
        guard let value = json[key] else {
            guard let fallback else { throw .missingKey(path: path, key: key) }
            return fallback
        }
        guard let number = value.int, number >= 1 else {
            throw .wrongValue(path: path, key: key, found: value.text, expected: "a whole number from 1")
        }
        return number
    }

    func number(_ key: String, default fallback: Double) throws(ImportError) -> Double {
        guard let value = json[key] else { return fallback }
        guard let number = value.double else {
            throw .wrongValue(path: path, key: key, found: value.text, expected: "a number")
        }
        return number
    }

    func flag(_ key: String) throws(ImportError) -> Bool? {
        guard let value = json[key] else { return nil }
        guard let flag = value.bool else {
            throw .wrongValue(path: path, key: key, found: value.text, expected: "true or false")
        }
        return flag
    }
}
