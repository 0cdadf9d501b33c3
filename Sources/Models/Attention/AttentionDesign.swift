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
    /// Whether its layers are grouped-query attention with the heads of plain layers.
    static var keepsHeads: Bool { get }
    /// The design with these settings for heads of `headDim`; a required setting that is absent counts as 0.
    init(_ settings: DesignSettings, headDim: Int)
    /// A short name for tables and folders: mla-r32, cla2.
    var label: String { get }
    /// Changes `config`, whose layers are plain; throws where its sizes do not allow the design.
    func configure(_ config: inout ModelConfig) throws(ModelConfigError)
}

extension AttentionDesign {
    public static var keepsHeads: Bool { true }
}
