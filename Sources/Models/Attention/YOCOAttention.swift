/// "You Only Cache Once" (Sun et al. 2024, arXiv 2405.05254): the lower half of the layers has a sliding window; the upper half
/// shares one set of global keys and values, computed by its first layer.
///
/// The paper norms the keys' input separately from the queries'. As a norm's gain can be folded into the projection after it, the
/// layer's one norm serves both here, and the models are equivalent. The paper's gated retention is not offered, its sliding
/// window is.
public struct YOCOAttention: AttentionDesign {
    public static let name = "yoco"
    public static let summary =
        "the lower half of the layers sees a window, the upper half reads one set of global keys and values"
    public static let settings: [DesignSetting] = [HybridAttention.windowSetting, HybridAttention.sinksSetting]
    /// Tokens a position of the lower half sees, its own included.
    public var window: Int
    /// Attention sinks: first tokens visible beside the window.
    public var sinks: Int

    /// A lower half with `window` and `sinks`.
    public init(window: Int, sinks: Int = 0) { (self.window, self.sinks) = (window, sinks) }

    public init(_ settings: DesignSettings, headDim: Int) {
        self.init(window: settings["window"] ?? 0, sinks: settings["sinks"] ?? 0)
    }

    public var label: String { "yoco-w\(window)" }

    public func configure(_ config: inout ModelConfig) throws(ModelConfigError) {
        guard window >= 1 else { throw .notPositive(key: "window", value: window) }
        guard config.layers >= 2 else { throw .notPositive(key: "num_hidden_layers", value: config.layers - 1) }
        let middle = config.layers / 2
        config.slidingWindow = .each((0..<config.layers).map { $0 < middle ? window : 0 })
        config.attentionSinks = sinks == 0 ? nil : sinks
        config.keyValueSources = (0..<config.layers).map { $0 < middle ? $0 : middle }
    }
}
