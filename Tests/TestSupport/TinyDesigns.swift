import Models
import Testing

/// Small models of every attention there is, for tests that all of them must pass.
public enum TinyDesigns: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case gqa, latent, latentBiased, latentLearned, crossLayer, crossLayerNormed, yoco, hybrid, windowed

    public var testDescription: String { rawValue }

    /// Four layers of hidden size 32, vocabulary 61.
    public var config: ModelConfig {
        get throws {
            var config = TinyModel.config(layers: 4)
            switch self {
            case .gqa: break
            case .latent:
                try LatentDesign(shape: LatentShape(rank: 10, ropeHeadDim: 4, valueHeadDim: 6)).configure(&config)
            case .latentBiased:
                (config.hasQueryKeyValueBias, config.hasOutputBias) = (true, true)
                try LatentDesign(shape: LatentShape(rank: 9, ropeHeadDim: 6, valueHeadDim: 5, hasNorm: false)).configure(&config)
            case .latentLearned:
                // GPT-2's parts.
                (config.hasQueryKeyValueBias, config.hasOutputBias, config.hasFeedForwardBias) = (true, true, true)
                (config.hasLayerNorm, config.activation, config.hasLearnedPositions) = (true, .gelu, true)
                try LatentDesign(
                    shape: LatentShape(rank: 14, ropeHeadDim: 0, valueHeadDim: 12, hasNorm: false)
                ).configure(&config)
            case .crossLayer: try CrossLayerAttention(share: 2).configure(&config)
            case .crossLayerNormed:
                config.hasQueryKeyNorm = true
                config.hasQueryKeyValueBias = true
                try CrossLayerAttention(share: 3).configure(&config)
            case .yoco: try YOCOAttention(window: 6).configure(&config)
            case .hybrid: try HybridAttention(window: 5, fullEvery: 2, sinks: 2).configure(&config)
            case .windowed: try HybridAttention(window: 7, fullEvery: 0).configure(&config)
            }
            try config.validate()
            return config
        }
    }

    /// Elements of the cache of `tokens`, written out.
    public func elements(tokens: Int) -> Int {
        let layer = 2 * 2 * 12
        return switch self {
        case .gqa: 4 * layer * tokens
        case .latent: 4 * (10 + 4) * tokens
        case .latentBiased: 4 * (9 + 6) * tokens
        case .latentLearned: 4 * 14 * tokens
        case .crossLayer, .crossLayerNormed: 2 * layer * tokens
        case .yoco: 2 * layer * min(tokens, 6) + layer * tokens
        case .hybrid: 2 * layer * min(tokens, 5 + 2) + 2 * layer * tokens
        case .windowed: 4 * layer * min(tokens, 7)
        }
    }
}
