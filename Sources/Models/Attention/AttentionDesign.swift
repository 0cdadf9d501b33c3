/// A way to make a model's KV cache smaller than MHA's by its architecture, as a recipe names it: what it changes in a
/// configuration of plain layers.
///
/// MHA, GQA and MQA need none: they are numbers of KV heads.
public protocol AttentionDesign: Sendable {
    /// Its name in recipes.
    static var name: String { get }
    /// Changes `config`, whose layers are plain; throws where its sizes allow no such design.
    func configure(_ config: inout ModelConfig) throws(ModelConfigError)
}

/// The designs there are.
public enum AttentionDesigns {
    /// Every design's type.
    public static let all: [any AttentionDesign.Type] = [
        LatentDesign.self, CrossLayerAttention.self, YOCOAttention.self, HybridAttention.self,
    ]

    /// Their names.
    public static var names: [String] { all.map { $0.name } }
}

/// Latent attention in every layer, of the widths given.
public struct LatentDesign: AttentionDesign {
    public static let name = "mla"
    /// Its widths.
    public var shape: LatentShape

    /// Latent attention of these widths.
    public init(shape: LatentShape) { self.shape = shape }

    public func configure(_ config: inout ModelConfig) throws(ModelConfigError) {
        config.latent = shape
        config.kvHeads = config.heads
    }
}
