import Files
import JSON
import Kernels
import Models

/// A Hugging Face `config.json`, read two ways: strictly, as a model to compute with, or for its cache geometry alone.
public struct HuggingFaceConfig: Sendable {
    /// The file's path, for messages.
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

    /// The model's maximum sequence length; nil if the configuration has none.
    public var maxSequence: Int? {
        let inner = json["text_config"] ?? json
        let value = inner["max_position_embeddings"] ?? inner["n_positions"] ?? inner["n_ctx"] ?? inner["max_seq_len"]
        return value?.int.flatMap { $0 >= 1 ? $0 : nil }
    }

    /// The special tokens that the configuration names.
    public var tokenIDs: TokenIDs { Self.tokenIDs(json) }

    static func tokenIDs(_ json: JSONValue) -> TokenIDs {
        func id(_ value: JSONValue) -> Int32? { value.int.flatMap { $0 >= 0 ? Int32(exactly: $0) : nil } }
        let eos = json["eos_token_id"]
        // Some families list several of either; text begins with the first.
        let bos = json["bos_token_id"].flatMap { $0.array?.first ?? $0 }
        return TokenIDs(bos: bos.flatMap(id), eos: (eos?.array ?? eos.map { [$0] } ?? []).compactMap(id))
    }

    /// The configuration as a decoder of one of the families of ``ModelFamilies``.
    ///
    /// Every key that would change the mathematics is honoured or refused by name.
    public func modelConfig() throws(ImportError) -> ModelConfig {
        let config = try family().modelConfig(self)
        do throws(ModelConfigError) { try config.validate() } catch { throw .invalid(path: path, reason: error.description) }
        return config
    }

    /// The configuration's family; throws the first key that no family of the table honours.
    func family() throws(ImportError) -> any ModelFamily {
        guard let family = ModelFamilies.named(modelType) else {
            throw .unsupported(
                path: path, key: "model_type", found: "'\(modelType)'",
                supported: ModelFamilies.all.map(\.modelType).joined(separator: ", "))
        }
        if let found = json["architectures"] {
            guard let names = found.array?.compactMap(\.string), !names.isEmpty,
                names.allSatisfy({ $0 == family.className })
            else { throw unsupported("architectures", found, family.className) }
        }
        for key in Self.falseOnly { try refuse(key) }
        for key in Self.trueOnly {
            if let value = json[key], value != .bool(true) { throw unsupported(key, value, "true") }
        }
        for key in Self.absentOnly where !family.ownKeys.contains(key) {
            if let value = json[key] { throw unsupported(key, value, "null") }
        }
        for key in Self.oneOnly where !family.ownKeys.contains(key) {
            if let value = json[key], value.double != 1 { throw unsupported(key, value, "1") }
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
    /// The error for a value of `key` that kvlab does not compute.
    func unsupported(_ key: String, _ found: JSONValue?, _ supported: String) -> ImportError {
        .unsupported(path: path, key: key, found: found?.text ?? "absent", supported: supported)
    }

    /// Throws if `key` asks for a part that the family does not have.
    func refuse(_ key: String) throws(ImportError) {
        if let value = json[key], value != .bool(false) { throw unsupported(key, value, "false") }
    }

    /// The number of layers under `key`, at most 4096.
    func layers(_ key: String) throws(ImportError) -> Int {
        let layers = try positive(key)
        guard layers <= 4096 else { throw .invalid(path: path, reason: "'\(key)' \(layers) is above 4096") }
        return layers
    }

    /// The error for a value of `key` of another type or range than expected.
    func wrong(_ key: String, _ found: JSONValue, _ expected: String) -> ImportError {
        .wrongValue(path: path, key: key, found: found.text, expected: expected)
    }

    /// The value of `key`; nil where the key is absent or null.
    private func read<Value>(
        _ key: String, _ expected: String, _ value: (JSONValue) -> Value?
    ) throws(ImportError) -> Value? {
        guard let found = json[key] else { return nil }
        guard let value = value(found) else { throw wrong(key, found, expected) }
        return value
    }

    func optional(_ key: String, from least: Int) throws(ImportError) -> Int? {
        try read(key, "a whole number from \(least)") { value in value.int.flatMap { $0 >= least ? $0 : nil } }
    }

    func positive(_ key: String, default fallback: Int? = nil) throws(ImportError) -> Int {
        guard let number = try optional(key, from: 1) ?? fallback else { throw .missingKey(path: path, key: key) }
        return number
    }

    func number(_ key: String, default fallback: Double) throws(ImportError) -> Double {
        try read(key, "a number") { $0.double } ?? fallback
    }

    func flag(_ key: String) throws(ImportError) -> Bool? { try read(key, "true or false") { $0.bool } }
}
