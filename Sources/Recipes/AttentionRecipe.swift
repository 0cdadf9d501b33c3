import Models

/// An attention other than plain layers, as `model.attention` of a recipe names it.
public struct AttentionRecipe: Sendable, Hashable, Encodable {
    /// Its name among ``AttentionDesigns``.
    public enum Kind: String, Sendable, Encodable, CaseIterable {
        /// Multi-head latent attention: `rank`, `ropeHeadDim`, `valueHeadDim`.
        case mla
        /// Adjacent layers share keys and values: `share`.
        case crossLayer = "cross-layer"
        /// A windowed lower half, one global set of keys and values for the upper: `window`, `sinks`.
        case yoco
        /// Windowed layers with full ones among them: `window`, `fullEvery`, `sinks`.
        case hybrid
    }

    /// Which attention.
    public var kind: Kind
    /// mla: width of the latent.
    public var rank: Int?
    /// mla: elements of each head that RoPE turns, out of its headDim; 0 where a converted parent's positions are learned.
    public var ropeHeadDim: Int?
    /// mla: width of a value's head; headDim unless said.
    public var valueHeadDim: Int?
    /// mla: whether the latent goes through a norm; true unless said.
    public var norm: Bool?
    /// cross-layer: layers to one set of keys and values.
    public var share: Int?
    /// yoco, hybrid: tokens a windowed layer sees.
    public var window: Int?
    /// hybrid: layers to one that sees everything; 0 for none.
    public var fullEvery: Int?
    /// yoco, hybrid: first tokens seen beside the window.
    public var sinks: Int?

    private static let sizes = 1...(1 << 16)

    init(_ reader: inout ObjectReader, ropeHeadDims: ClosedRange<Int> = sizes) throws(RecipeError) {
        kind = try reader.require("kind", try reader.choice("kind", Kind.self))
        rank = try reader.int("rank", Self.sizes)
        ropeHeadDim = try reader.int("ropeHeadDim", ropeHeadDims)
        valueHeadDim = try reader.int("valueHeadDim", Self.sizes)
        norm = try reader.bool("norm")
        share = try reader.int("share", 1...4096)
        window = try reader.int("window", 1...(1 << 24))
        fullEvery = try reader.int("fullEvery", 0...4096)
        sinks = try reader.int("sinks", 0...(1 << 16))
        let required: [String]
        let optional: [String]
        switch kind {
        case .mla: (required, optional) = (["rank", "ropeHeadDim"], ["valueHeadDim", "norm"])
        case .crossLayer: (required, optional) = (["share"], [])
        case .yoco: (required, optional) = (["window"], ["sinks"])
        case .hybrid: (required, optional) = (["window", "fullEvery"], ["sinks"])
        }
        for key in required where !reader.has(key) { throw .missing(reader.position, path: reader.keyPath(key)) }
        for key in ["rank", "ropeHeadDim", "valueHeadDim", "norm", "share", "window", "fullEvery", "sinks"]
        where reader.has(key) && !(required + optional).contains(key) {
            throw .impossible(
                reader.position(of: key), path: reader.keyPath(key), reason: "means nothing for kind \"\(kind.rawValue)\"")
        }
        try reader.finish()
    }

    /// Reads what a conversion leads to, which decides itself how wide values are and that the latent has no norm; a parent with learned
    /// positions has no rotated part.
    init(converting reader: inout ObjectReader) throws(RecipeError) {
        for key in ["valueHeadDim", "norm"] where reader.has(key) {
            throw .impossible(reader.position(of: key), path: reader.keyPath(key), reason: "is decided by the conversion")
        }
        try self.init(&reader, ropeHeadDims: 0...Self.sizes.upperBound)
    }

    /// A short name for tables and folders: mla-r32, cla2, yoco-w64, hybrid-w64-f4.
    public var name: String {
        switch kind {
        case .mla: "mla-r\(rank ?? 0)"
        case .crossLayer: "cla\(share ?? 0)"
        case .yoco: "yoco-w\(window ?? 0)"
        case .hybrid: "hybrid-w\(window ?? 0)-f\(fullEvery ?? 0)"
        }
    }

    /// The design for heads of `headDim`.
    public func design(headDim: Int) -> any AttentionDesign {
        switch kind {
        case .mla:
            LatentDesign(
                shape: LatentShape(
                    rank: rank ?? 0, ropeHeadDim: ropeHeadDim ?? 0, valueHeadDim: valueHeadDim ?? headDim,
                    hasNorm: norm ?? true))
        case .crossLayer: CrossLayerAttention(share: share ?? 0)
        case .yoco: YOCOAttention(window: window ?? 0, sinks: sinks ?? 0)
        case .hybrid: HybridAttention(window: window ?? 0, fullEvery: fullEvery ?? 0, sinks: sinks ?? 0)
        }
    }
}
