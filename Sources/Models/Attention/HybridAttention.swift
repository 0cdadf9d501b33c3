/// Hybrid attention: sliding-window layers with full ones among them (Beltagy et al. 2020; Gemma Team 2024 alternates them). Of
/// every `fullEvery` layers the last is full; the others see a window and the attention sinks (Xiao et al. 2023).
///
/// Sinks keep their positions: unlike in StreamingLLM nothing is renumbered, since the model is trained with the mask it decodes
/// with.
public struct HybridAttention: AttentionDesign {
    public static let name = "hybrid"
    public static let summary = "layers see a window and attention sinks, every n-th of them everything"
    public static let settings: [DesignSetting] = [
        windowSetting, sinksSetting,
        .integer("fullEvery", 0...4096, isRequired: true, help: "layers to one that sees everything; 0 for none", example: 4),
    ]
    static let windowSetting = DesignSetting.integer(
        "window", 1...(1 << 24), isRequired: true, help: "tokens that a windowed layer sees", example: 64)
    static let sinksSetting = DesignSetting.integer(
        "sinks", 0...(1 << 16), help: "first tokens that it sees as well (attention sinks); 0 unless said", example: 4)
    /// Tokens a position of a windowed layer sees, its own included.
    public var window: Int
    /// Period of the full layers; 0 for none.
    public var fullEvery: Int
    /// Attention sinks: first tokens that a windowed layer sees beside its window.
    public var sinks: Int

    /// Windows in all layers except the last of every `fullEvery`.
    public init(window: Int, fullEvery: Int, sinks: Int = 0) {
        (self.window, self.fullEvery, self.sinks) = (window, fullEvery, sinks)
    }

    public init(_ settings: DesignSettings, headDim: Int) {
        self.init(window: settings["window"] ?? 0, fullEvery: settings["fullEvery"] ?? 0, sinks: settings["sinks"] ?? 0)
    }

    public var label: String { "hybrid-w\(window)-f\(fullEvery)" }

    public func configure(_ config: inout ModelConfig) throws(ModelConfigError) {
        guard window >= 1 else { throw .notPositive(key: "window", value: window) }
        guard fullEvery >= 0, fullEvery != 1 else { throw .notPositive(key: "fullEvery", value: fullEvery - 1) }
        config.slidingWindow = .each(
            (0..<config.layers).map { fullEvery > 0 && ($0 + 1) % fullEvery == 0 ? 0 : window })
        config.attentionSinks = sinks == 0 ? nil : sinks
    }
}
