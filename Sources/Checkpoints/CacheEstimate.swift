import Kernels
import Models

/// What a model's KV cache takes, layer by layer, from its shape alone.
public struct CacheEstimate: Sendable, Hashable {
    /// One layer's cache.
    public struct Layer: Sendable, Hashable {
        /// What it keeps of each token.
        public var geometry: KVGeometry
        /// How many tokens it keeps at most; nil for all.
        public var window: Int?

        public init(geometry: KVGeometry, window: Int? = nil) {
            self.geometry = geometry
            self.window = window
        }
    }

    /// The layers that keep a cache of their own.
    public var layers: [Layer]

    public init(layers: [Layer]) { self.layers = layers }

    /// The estimate for a model of this tool.
    public init(_ config: ModelConfig, elementType: ElementType) {
        layers = config.kvGeometry(elementType).map { Layer(geometry: $0) }
    }

    /// Bytes a token adds to a sequence that is shorter than every window.
    public var bytesPerToken: Int { layers.reduce(0) { $0 + $1.geometry.bytesPerToken } }

    /// Whether some layers stop growing at a window, so that bytes are not proportional to tokens.
    public var hasWindows: Bool { layers.contains { $0.window != nil } }

    /// Bytes for `batch` sequences of `context` tokens: Σ layers · min(context, window); nil where that is beyond an Int.
    public func bytes(context: Int, batch: Int) -> Int? {
        var sum = 0
        for layer in layers {
            let tokens = min(context, layer.window ?? context)
            let (bytes, tooMany) = tokens.multipliedReportingOverflow(by: layer.geometry.bytesPerToken)
            let (total, tooLarge) = sum.addingReportingOverflow(bytes)
            if tooMany || tooLarge { return nil }
            sum = total
        }
        let (bytes, overflow) = sum.multipliedReportingOverflow(by: batch)
        return overflow ? nil : bytes
    }
}
