import JSON
import Kernels
import Models

extension HuggingFaceConfig {
    /// Each layer's cache geometry of any decoder's configuration, even of families that kvlab cannot compute; a layer that reads
    /// another's keys and values is left out.
    ///
    /// Reads the key names of the GPT-2, Falcon, MPT and Llama lines, latent attention (DeepSeek), sliding windows, values that
    /// differ by layer, and multimodal configurations, whose language model is in `text_config`. Models that cache anything but
    /// keys and values are refused by name.
    public func kvGeometry(_ encoding: CacheEncoding) throws(ImportError) -> [KVGeometry] {
        if let inner = json["text_config"], inner.members != nil, json["num_hidden_layers"] == nil {
            return try HuggingFaceConfig(json: inner, path: path, outer: modelType).kvGeometry(encoding)
        }
        for key in ["ssm_cfg", "mamba_d_state", "state_size", "attn_layer_period", "layers_block_type", "is_encoder_decoder"] {
            if let value = json[key], value != .bool(false) {
                throw .unsupported(path: path, key: key, found: value.text, supported: "decoders that cache keys and values only")
            }
        }
        let layers = try first(["num_hidden_layers", "n_layer", "n_layers", "num_layers"])
        guard layers <= 4096 else { throw tooLarge("the number of layers", layers) }
        let heads = try perLayer(["num_attention_heads", "n_head", "n_heads", "num_heads"], layers: layers)
        let kvHeads = try self.kvHeads(heads, layers: layers)
        let widths = try self.widths(heads)
        let windows = try self.windows(layers: layers)
        // Gemma 3n: the last layers read an earlier layer's cache.
        let shared = try optional("num_kv_shared_layers", from: 0) ?? 0
        guard shared <= layers else { throw tooLarge("'num_kv_shared_layers'", shared) }
        return (0..<layers - shared).map { layer in
            let (keys, values) = widths(layer)
            let isLatent = json["kv_lora_rank"] != nil
            return KVGeometry(
                kvHeads: isLatent ? 1 : kvHeads[layer], keyDim: keys, valueDim: values, encoding: encoding[layer],
                valuesAreKeys: isLatent, window: windows[layer])
        }
    }

    private init(json: JSONValue, path: String, outer: String) {
        self.json = json
        self.path = path
        modelType = json["model_type"]?.string ?? outer
    }

    private func kvHeads(_ heads: [Int], layers: Int) throws(ImportError) -> [Int] {
        let isFalcon = ["falcon", "RefinedWeb", "RefinedWebModel"].contains(modelType)
        if isFalcon, try flag("new_decoder_architecture") != true {
            return try flag("multi_query") == false ? heads : heads.map { _ in 1 }
        }
        if modelType == "gpt_bigcode", try flag("multi_query") ?? true { return heads.map { _ in 1 } }
        if let count = json["attn_config"]?["kv_n_heads"]?.int, (1...heads[0]).contains(count) { return heads.map { _ in count } }
        let keys = ["num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num"]
        for key in keys where json[key] != nil { return try perLayer([key], layers: layers) }
        // An absent key has the class's default; null means MHA.
        let defaults = ["mistral": 8, "mixtral": 8, "gemma2": 4, "gemma3_text": 4]
        if !json.has("num_key_value_heads"), let count = defaults[modelType] { return heads.map { _ in count } }
        return heads
    }

    /// The widths of a layer's key and value.
    private func widths(_ heads: [Int]) throws(ImportError) -> (Int) -> (Int, Int) {
        // Latent attention keeps one compressed vector and one rotary key for all heads.
        if json["kv_lora_rank"] != nil {
            let latent = try bounded("kv_lora_rank")
            let rotary = try bounded("qk_rope_head_dim")
            return { _ in (latent + rotary, latent) }
        }
        for key in ["head_dim", "kv_channels", "attention_head_dim"] where json[key] != nil {
            let width = try bounded(key)
            let values = json["v_head_dim"] == nil ? width : try bounded("v_head_dim")
            return { _ in (width, values) }
        }
        let defaults = ["qwen3": 128, "qwen3_moe": 128, "gemma": 256, "gemma2": 256, "gemma3_text": 256, "glm": 128]
        if let width = defaults[modelType] { return { _ in (width, width) } }
        let hiddenSize = try first(["hidden_size", "n_embd", "d_model"])
        guard hiddenSize <= 1 << 24 else { throw tooLarge("'hidden_size'", hiddenSize) }
        if let count = heads.first(where: { hiddenSize % $0 != 0 }) {
            throw .invalid(
                path: path, reason: "'hidden_size' \(hiddenSize) is no multiple of \(count) heads, and there is no 'head_dim'")
        }
        return { (hiddenSize / heads[$0], hiddenSize / heads[$0]) }
    }

    /// Each layer's sliding window.
    private func windows(layers: Int) throws(ImportError) -> [Int?] {
        let none = [Int?](repeating: nil, count: layers)
        guard
            let window = try optional("sliding_window", from: 1)
                ?? (modelType == "mistral" && !json.has("sliding_window") ? 4096 : nil)
        else { return none }
        if try flag("use_sliding_window") == false || modelType.hasPrefix("qwen") && json["use_sliding_window"] == nil {
            return none
        }
        if let types = try slidingLayers(layers, windowed: true) { return types.map { $0 ? window : nil } }
        if let from = try optional("max_window_layers", from: 0) { return (0..<layers).map { $0 >= from ? window : nil } }
        let pattern = try optional("sliding_window_pattern", from: 1) ?? ["gemma2": 2, "gemma3_text": 6, "cohere2": 4][modelType]
        guard let pattern else { return [Int?](repeating: window, count: layers) }
        // The last of each `pattern` layers has full attention.
        return (0..<layers).map { ($0 + 1) % pattern == 0 ? nil : window }
    }

    private func first(_ keys: [String]) throws(ImportError) -> Int {
        for key in keys where json[key] != nil { return try positive(key) }
        throw .missingKey(path: path, key: keys[0])
    }

    private func bounded(_ key: String) throws(ImportError) -> Int {
        let value = try positive(key)
        guard value <= 1 << 20 else { throw tooLarge("'\(key)'", value) }
        return value
    }

    /// One value for all layers, or a list with one a layer.
    private func perLayer(_ keys: [String], layers: Int) throws(ImportError) -> [Int] {
        for key in keys {
            guard let value = json[key] else { continue }
            var values = value.array?.compactMap(\.int) ?? []
            if value.array == nil { values = [Int](repeating: try positive(key), count: layers) }
            guard values.count == layers, values.allSatisfy({ (1...1 << 16).contains($0) }) else {
                throw wrong(key, value, "a whole number from 1, or one for each of \(layers) layers")
            }
            return values
        }
        throw .missingKey(path: path, key: keys[0])
    }

    private func tooLarge(_ what: String, _ value: Int) -> ImportError {
        .invalid(path: path, reason: "\(what) is \(value), more than any model has")
    }
}
