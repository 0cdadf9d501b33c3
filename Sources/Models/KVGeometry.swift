import Kernels

/// The cache geometry of one layer: the elements cached for each token, and their bytes as a function of tokens.
public struct KVGeometry: Sendable, Hashable {
    /// Heads with keys and values of their own.
    public var kvHeads: Int
    /// Width of a key.
    public var keyDim: Int
    /// Width of a value.
    public var valueDim: Int
    /// The encoding of keys and values.
    public var encoding: KVEncoding
    /// Whether a value is the first `valueDim` elements of its key and not stored separately: latent attention.
    public var valuesAreKeys: Bool
    /// Tokens a position sees, its own included; nil for all. Earlier ones need not be kept.
    public var window: Int?
    /// Attention sinks: first tokens that are kept and visible beside the window.
    public var sinks: Int
    /// The layer whose cache this one shares; nil where it has its own.
    public var source: Int?

    /// One layer's geometry; keys and values may differ in width, though for MHA, GQA and MQA both are headDim.
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

    /// Elements a token adds: kvHeads · (keyDim + valueDim); without valueDim for latent attention, 0 for a layer that shares
    /// another's cache.
    public var elementsPerToken: Int {
        source != nil ? 0 : kvHeads * (keyDim + (valuesAreKeys ? 0 : valueDim))
    }

    /// Bytes a token adds to a sequence shorter than the window, once it is encoded.
    public var bytesPerToken: Int { bytesPerToken(in: encoding) }

    private func bytesPerToken(in encoding: KVEncoding) -> Int {
        source != nil
            ? 0 : encoding.tokenBytes(kvHeads: kvHeads, keyDim: keyDim, valueDim: valueDim, valuesAreKeys: valuesAreKeys)
    }

    /// Tokens kept of a sequence of `tokens`: all, or the sinks and the window.
    public func tokensKept(of tokens: Int) -> Int { min(tokens, window.map { $0 + sinks } ?? tokens) }

    /// Cache bytes of the layer for a sequence of `tokens`, of which those without a full block are not encoded yet.
    public func bytes(tokens: Int) -> Int { tokensKept(of: tokens) * bytesPerToken + openBytes(tokens: tokens) }

    /// Bytes that the tokens of a sequence of `tokens` take beyond ``bytesPerToken`` as long as they are not encoded.
    public func openBytes(tokens: Int) -> Int {
        let open = min(tokens - encoding.sealedTokens(of: tokens), tokensKept(of: tokens))
        return open * (bytesPerToken(in: encoding.open) - bytesPerToken)
    }
}

extension [KVGeometry] {
    /// Bytes that a token adds to a sequence shorter than every window, over all layers.
    public var bytesPerToken: Int { reduce(0) { $0 + $1.bytesPerToken } }

    /// Bytes for `batch` sequences of `context` tokens: Σ over layers of the tokens kept; nil if that overflows an Int.
    public func bytes(context: Int, batch: Int) -> Int? {
        var sum = 0
        for layer in self {
            let (bytes, tooMany) = layer.tokensKept(of: context).multipliedReportingOverflow(by: layer.bytesPerToken)
            guard !tooMany else { return nil }
            let (total, tooLarge) = sum.addingReportingOverflow(bytes + layer.openBytes(tokens: context))
            if tooLarge { return nil }
            sum = total
        }
        let (bytes, overflow) = sum.multipliedReportingOverflow(by: batch)
        return overflow ? nil : bytes
    }

    /// For each layer the number of its cache among those of layers with keys and values of their own: of its own, or of the layer
    /// whose cache it shares.
    public var cacheNumbers: [Int] {
        var (numbers, count) = ([Int](), 0)
        for layer in self {
            numbers.append(layer.source.map { numbers[$0] } ?? count)
            if layer.source == nil { count += 1 }
        }
        return numbers
    }
}

extension ModelConfig {
    /// Each layer's cache geometry, with keys and values in `encoding`: those of a layer that shares a cache as the cache has them.
    public func kvGeometry(_ encoding: CacheEncoding) -> [KVGeometry] {
        (0..<layers).map { layer in
            let source = keyValueSource(layer)
            let encoding = encoding[source ?? layer]
            return attentionShape?.geometry(encoding)
                ?? KVGeometry(
                    kvHeads: kvHeads[layer], keyDim: headDim[layer], valueDim: headDim[layer], encoding: encoding,
                    window: window(layer), sinks: attentionSinks ?? 0, source: source)
        }
    }

    /// Cache bytes of one token over all layers, in a sequence shorter than every window: 2·L·G·d·s for MHA, GQA and MQA.
    public func kvBytesPerToken(_ encoding: CacheEncoding) -> Int { kvGeometry(encoding).bytesPerToken }

    /// Cache bytes of a sequence of `tokens` over all layers.
    public func kvBytes(_ encoding: CacheEncoding, tokens: Int) -> Int {
        kvGeometry(encoding).reduce(0) { $0 + $1.bytes(tokens: tokens) }
    }
}
