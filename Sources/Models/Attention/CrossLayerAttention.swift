/// Cross-layer attention (Brandon et al. 2024, CLA, arXiv 2405.12981; Zuhri et al. 2024, MLKV): every `share` adjacent layers
/// share the keys and values of the first.
///
/// The layers' attention is ``GroupedQueryAttention`` over the sources in ``ModelConfig/keyValueSources``.
public struct CrossLayerAttention: AttentionDesign {
    public static let name = "cross-layer"
    public static let summary = "adjacent layers read the keys and values of the first of them"
    public static let settings: [DesignSetting] = [
        .integer(
            "share", 1...4096, option: "shareLayers", isRequired: true, help: "layers that share one set of keys and values",
            example: 2)
    ]
    /// Layers that share one set of keys and values; the last set may have fewer.
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
