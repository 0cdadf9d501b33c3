import Kernels

/// What one layer caches for each token, and the bytes that takes as a function of tokens.
public struct KVGeometry: Sendable, Hashable {
    /// Heads with keys and values of their own.
    public var kvHeads: Int
    /// Width of a key.
    public var keyDim: Int
    /// Width of a value.
    public var valueDim: Int
    /// How keys and values are stored.
    public var encoding: KVEncoding
    /// Whether a value is the first `valueDim` elements of its key, and not stored again: latent attention.
    public var valuesAreKeys: Bool
    /// Tokens a position sees at most, its own included; nil for all. Those behind need not be kept.
    public var window: Int?
    /// First tokens that are seen, and kept, beside the window.
    public var sinks: Int
    /// The layer whose keys and values this one reads instead of having its own; nil where it has.
    public var source: Int?

    /// One layer's geometry; keys and values may differ in width, though MHA, GQA and MQA have both at headDim.
    public init(
        kvHeads: Int, keyDim: Int, valueDim: Int, encoding: KVEncoding, valuesAreKeys: Bool = false, window: Int? = nil,
        sinks: Int = 0, source: Int? = nil
    ) {
        self.kvHeads = kvHeads
        self.keyDim = keyDim
        self.valueDim = valueDim
        self.encoding = encoding
        self.valuesAreKeys = valuesAreKeys
        self.window = window
        self.sinks = window == nil ? 0 : sinks
        self.source = source
    }

    /// Elements a token adds: kvHeads · (keyDim + valueDim), of which latent attention saves the values, and a layer that
    /// reads another's everything.
    public var elementsPerToken: Int {
        source != nil ? 0 : kvHeads * (keyDim + (valuesAreKeys ? 0 : valueDim))
    }

    /// Bytes a token adds to a sequence shorter than the window.
    public var bytesPerToken: Int {
        source != nil
            ? 0 : encoding.tokenBytes(kvHeads: kvHeads, keyDim: keyDim, valueDim: valuesAreKeys ? nil : valueDim)
    }

    /// Tokens kept of a sequence of `tokens`: all, or the sinks and the window.
    public func tokensKept(of tokens: Int) -> Int { min(tokens, window.map { $0 + sinks } ?? tokens) }

    /// Bytes the layer holds for a sequence of `tokens`.
    public func bytes(tokens: Int) -> Int { tokensKept(of: tokens) * bytesPerToken }
}

extension ModelConfig {
    /// Each layer's cache geometry, keys and values stored by `encoding`.
    public func kvGeometry(_ encoding: KVEncoding) -> [KVGeometry] {
        (0..<layers).map { layer in
            if let latent {
                return KVGeometry(
                    kvHeads: 1, keyDim: latent.rank + latent.ropeHeadDim, valueDim: latent.rank, encoding: encoding,
                    valuesAreKeys: true)
            }
            return KVGeometry(
                kvHeads: kvHeads[layer], keyDim: headDim[layer], valueDim: headDim[layer], encoding: encoding,
                window: window(layer), sinks: attentionSinks ?? 0, source: keyValueSource(layer))
        }
    }

    /// Cache bytes one token takes over all layers in a sequence shorter than every window: 2·L·G·d·s for MHA, GQA and MQA.
    public func kvBytesPerToken(_ encoding: KVEncoding) -> Int {
        kvGeometry(encoding).reduce(0) { $0 + $1.bytesPerToken }
    }

    /// Cache bytes of a sequence of `tokens` over all layers.
    public func kvBytes(_ encoding: KVEncoding, tokens: Int) -> Int {
        kvGeometry(encoding).reduce(0) { $0 + $1.bytes(tokens: tokens) }
    }
}
