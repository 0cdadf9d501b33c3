import Kernels

/// What one layer caches for each token, and the bytes that takes as a function of tokens.
public struct KVGeometry: Sendable, Hashable, Codable {
    /// Heads with keys and values of their own.
    public var kvHeads: Int
    /// Width of a key.
    public var keyDim: Int
    /// Width of a value.
    public var valueDim: Int
    /// Element type of what is cached.
    public var elementType: ElementType

    /// One layer's geometry; keys and values may differ in width, though MHA, GQA and MQA have both at headDim.
    public init(kvHeads: Int, keyDim: Int, valueDim: Int, elementType: ElementType) {
        self.kvHeads = kvHeads
        self.keyDim = keyDim
        self.valueDim = valueDim
        self.elementType = elementType
    }

    /// Bytes for one token: kvHeads · (keyDim + valueDim) · bytes per element.
    public var bytesPerToken: Int { kvHeads * (keyDim + valueDim) * elementType.byteCount }

    /// Bytes the layer holds for a sequence of `tokens`.
    public func bytes(tokens: Int) -> Int { tokens * bytesPerToken }
}

extension ModelConfig {
    /// Each layer's cache geometry with elements of `elementType`.
    public func kvGeometry(_ elementType: ElementType) -> [KVGeometry] {
        (0..<layers).map { layer in
            KVGeometry(kvHeads: kvHeads[layer], keyDim: headDim[layer], valueDim: headDim[layer], elementType: elementType)
        }
    }

    /// Cache bytes one token takes over all layers: 2·L·G·d·s for MHA, GQA and MQA.
    public func kvBytesPerToken(_ elementType: ElementType) -> Int {
        kvGeometry(elementType).reduce(0) { $0 + $1.bytesPerToken }
    }
}
