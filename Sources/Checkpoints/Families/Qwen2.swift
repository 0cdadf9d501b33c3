import Models

/// Qwen2 (Yang et al. 2024): biases on queries, keys and values, sliding windows in some layers.
struct Qwen2Family: LlamaRelative {
    let modelType = "qwen2"
    let className = "Qwen2ForCausalLM"
    let defaultKVHeads: Int? = 32
    let defaultMaxSequence = 32_768

    func addParts(_ file: HuggingFaceConfig, to config: inout ModelConfig) throws(ImportError) {
        config.hasQueryKeyValueBias = true
        config.slidingWindow = try QwenWindows.read(file, layers: config.layers)
    }

    func claims(_ config: ModelConfig) -> Bool { config.hasQueryKeyValueBias == true && config.hasOutputBias != true }

    func partMembers(_ config: ModelConfig) throws(ImportError) -> [(String, String)] { try QwenWindows.members(config) }
}

/// The sliding windows of Qwen2 and Qwen3: of one width, in layers given by type or from a number on.
enum QwenWindows {
    static func read(_ file: HuggingFaceConfig, layers: Int) throws(ImportError) -> PerLayer<Int>? {
        let isOn = try file.flag("use_sliding_window") ?? false
        let width = isOn ? try file.windowWidth() : nil
        let types = try file.slidingLayers(layers, windowed: width != nil)
        guard let width else { return nil }
        let first = try file.optional("max_window_layers", from: 0) ?? 28
        let windows = (types ?? (0..<layers).map { $0 >= first }).map { $0 ? width : 0 }
        return windows.contains(width) ? PerLayer(windows) : nil
    }

    static func members(_ config: ModelConfig) throws(ImportError) -> [(String, String)] {
        guard let windows = config.windows else {
            return [("use_sliding_window", "false"), ("max_window_layers", "\(config.layers)")]
        }
        let widths = Set((0..<config.layers).map { windows[$0] }.filter { $0 > 0 })
        guard widths.count == 1, let width = widths.first else {
            throw .notExpressible(reason: "its windows have several widths (\(widths.sorted())), config.json has one")
        }
        let types = (0..<config.layers).map { windows[$0] > 0 ? "\"sliding_attention\"" : "\"full_attention\"" }
        // Older versions have the first windowed layer in place of layer_types.
        let first = (0..<config.layers).first { windows[$0] > 0 } ?? config.layers
        return [
            ("use_sliding_window", "true"), ("sliding_window", "\(width)"), ("max_window_layers", "\(first)"),
            ("layer_types", "[\(types.joined(separator: ", "))]"),
        ]
    }
}
