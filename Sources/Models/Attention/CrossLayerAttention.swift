/// Cross-layer attention (Brandon et al. 2024, CLA, arXiv 2405.12981; Zuhri et al. 2024, MLKV): of every `share` adjacent
/// layers the first has keys and values, and all of them read these.
///
/// The layers' own attention is ``GroupedQueryAttention``, which reads what ``ModelConfig/keyValueSources`` says.
public struct CrossLayerAttention: AttentionDesign {
    public static let name = "cross-layer"
    public static let summary = "adjacent layers read the keys and values of the first of them"
    public static let settings: [DesignSetting] = [
        .integer(
            "share", 1...4096, option: "shareLayers", isRequired: true, help: "layers that share one set of keys and values")
    ]
    /// Layers to one set of keys and values; the last set may have fewer.
    public var share: Int

    /// Sets of `share` layers.
    public init(share: Int) { self.share = share }

    public init(_ settings: DesignSettings, headDim: Int) { self.init(share: settings["share"] ?? 0) }

    public var label: String { "cla\(share)" }

    public func configure(_ config: inout ModelConfig) throws(ModelConfigError) {
        guard share >= 1 else { throw .notPositive(key: "share", value: share) }
        guard share <= config.layers else { throw .tooLarge(key: "share", value: share, limit: config.layers) }
        config.keyValueSources = share == 1 ? nil : (0..<config.layers).map { $0 / share * share }
    }
}
