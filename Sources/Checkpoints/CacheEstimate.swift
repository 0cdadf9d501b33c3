import Kernels
import Models

/// An estimate of a model's KV cache, layer by layer, from its shape alone.
public struct CacheEstimate: Sendable, Hashable {
    /// The cache geometry of each layer; a layer that reads another's keys and values stores none.
    public var layers: [KVGeometry]

    /// The estimate for layers of these geometries.
    public init(layers: [KVGeometry]) { self.layers = layers }

    /// The estimate for a model of kvlab.
    public init(_ config: ModelConfig, encoding: CacheEncoding) { layers = config.kvGeometry(encoding) }

    /// Bytes a token adds to a sequence that is shorter than every window.
    public var bytesPerToken: Int { layers.reduce(0) { $0 + $1.bytesPerToken } }

    /// Bytes for `batch` sequences of `context` tokens: Σ over layers of the tokens kept; nil if that overflows an Int.
    public func bytes(context: Int, batch: Int) -> Int? {
        var sum = 0
        for layer in layers {
            let (bytes, tooMany) = layer.tokensKept(of: context).multipliedReportingOverflow(by: layer.bytesPerToken)
            guard !tooMany else { return nil }
            let (total, tooLarge) = sum.addingReportingOverflow(bytes + layer.openBytes(tokens: context))
            if tooLarge { return nil }
            sum = total
        }
        let (bytes, overflow) = sum.multipliedReportingOverflow(by: batch)
        return overflow ? nil : bytes
    }
}
