/// An attention design: an architecture with a smaller KV cache than MHA's, as a recipe names it, and its changes to a
/// configuration of plain layers.
///
/// MHA, GQA and MQA are no designs: they are numbers of KV heads.
public protocol AttentionDesign: Sendable {
    /// The design's name in recipes, and of the conversion to it.
    static var name: String { get }
    /// One line for `--help`.
    static var summary: String { get }
    /// Its settings.
    static var settings: [DesignSetting] { get }
    /// The design with these settings for heads of `headDim`; a required setting that is absent counts as 0.
    init(_ settings: DesignSettings, headDim: Int)
    /// A short name for tables and folders: mla-r32, cla2.
    var label: String { get }
    /// Changes `config`, whose layers are plain; throws where its sizes do not allow the design.
    func configure(_ config: inout ModelConfig) throws(ModelConfigError)
}

/// The table of designs.
public enum AttentionDesigns {
    /// Every design's type.
    public static let all: [any AttentionDesign.Type] = [
        LatentDesign.self, CrossLayerAttention.self, YOCOAttention.self, HybridAttention.self,
    ]

    /// Their names.
    public static var names: [String] { all.map { $0.name } }

    /// The design called `name`, or nil.
    public static func named(_ name: String) -> (any AttentionDesign.Type)? { all.first { $0.name == name } }
}

/// Latent attention in every layer, of a given shape.
public struct LatentDesign: AttentionDesign {
    public static let name = "mla"
    public static let summary = "multi-head latent attention, one latent for the keys and values of all heads"
    public static let settings: [DesignSetting] = [
        .integer(
            "rank", 1...(1 << 16), isRequired: true, help: "elements of the latent that keys and values are made from",
            example: 32),
        .integer(
            "ropeHeadDim", 1...(1 << 16), isRequired: true, help: "elements of a head that RoPE turns, out of its headDim",
            example: 16),
        .integer("valueHeadDim", 1...(1 << 16), help: "width of a value's head; headDim unless said", example: 32),
        DesignSetting("norm", .flag, help: "the latent goes through no norm"),
    ]
    /// Its widths.
    public var shape: LatentShape
    public var label: String { "mla-r\(shape.rank)" }

    /// Latent attention of these widths.
    public init(shape: LatentShape) { self.shape = shape }

    public init(_ settings: DesignSettings, headDim: Int) {
        shape = LatentShape(
            rank: settings["rank"] ?? 0, ropeHeadDim: settings["ropeHeadDim"] ?? 0,
            valueHeadDim: settings["valueHeadDim"] ?? headDim, hasNorm: settings.isOn("norm"))
    }

    public func configure(_ config: inout ModelConfig) throws(ModelConfigError) {
        config.latent = shape
        config.kvHeads = config.heads
    }
}
