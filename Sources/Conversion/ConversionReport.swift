import Foundation
import Kernels
import Models

/// The report of a conversion, as text and for `--json`.
public struct ConversionReport: Sendable {
    /// The change of the heads of one projection of one layer.
    public struct Projection: Sendable, Equatable {
        /// Mean cosine similarity of the heads within a group, as vectors of headDim·width, over all pairs; 1 for groups of
        /// one.
        public var similarity: Double
        /// Norm of a merged head over the root mean square of its group's norms, averaged over groups: 1 keeps the scale; the
        /// mean of g orthogonal heads of equal norm has 1/√g.
        public var normRatio: Double

        init(parent: HeadRows, child: HeadRows) {
            let size = parent.heads / child.heads
            var similarities: [Double] = []
            var ratios: [Double] = []
            for group in 0..<child.heads {
                let members = (0..<size).map { parent.head(group * size + $0) }
                let norms = members.map { Self.product($0, $0).squareRoot() }
                for i in 0..<size {
                    for j in 0..<i where norms[i] > 0 && norms[j] > 0 {
                        similarities.append(Self.product(members[i], members[j]) / (norms[i] * norms[j]))
                    }
                }
                let typical = (norms.reduce(0) { $0 + $1 * $1 } / Double(size)).squareRoot()
                let merged = Self.product(child.head(group), child.head(group)).squareRoot()
                if typical > 0 { ratios.append(merged / typical) }
            }
            similarity = similarities.isEmpty ? 1 : similarities.reduce(0, +) / Double(similarities.count)
            normRatio = ratios.isEmpty ? 1 : ratios.reduce(0, +) / Double(ratios.count)
        }

        private static func product(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Double {
            zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
        }
    }

    /// One layer's merge.
    public struct Layer: Sendable, Equatable, Encodable {
        /// Index from 0.
        public var layer: Int
        /// KV heads before.
        public var from: Int
        /// KV heads after.
        public var to: Int
        /// The change of the keys' projection.
        public var key: Projection
        /// The change of the values' projection.
        public var value: Projection
        /// RoPE planes of a head whose keys are not rotated, as QK-norm's gains differ within them.
        public var fixedPlanes = 0

        private enum CodingKeys: String, CodingKey {
            case layer, kvHeadsBefore, kvHeadsAfter, keySimilarity, keyNormRatio, valueSimilarity, valueNormRatio
        }

        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(layer, forKey: .layer)
            try container.encode(from, forKey: .kvHeadsBefore)
            try container.encode(to, forKey: .kvHeadsAfter)
            try container.encode(key.similarity, forKey: .keySimilarity)
            try container.encode(key.normRatio, forKey: .keyNormRatio)
            try container.encode(value.similarity, forKey: .valueSimilarity)
            try container.encode(value.normRatio, forKey: .valueNormRatio)
        }
    }

    /// The method's name.
    public var method: String
    /// The grouping of the heads; nil without a merge.
    public var grouping: HeadGrouping?
    /// Tokens of calibration text; nil without any.
    public var calibrationTokens: Int?
    /// Whether the weights of another attention were refined; nil for merges, whose method determines it.
    public var isRefined: Bool?
    /// The largest change of a logit by the rewrite before merging, over the logits' root mean square: rounding error.
    public var logitChange = 0.0
    /// The parent's configuration.
    public var parent: ModelConfig
    /// The child's configuration.
    public var child: ModelConfig
    /// The merges of the layers; empty for another attention.
    public var layers: [Layer] = []

    /// The conversion in the words of a lineage.
    var lineage: String {
        func text(_ heads: PerLayer<Int>) -> String {
            heads.uniform.map(String.init) ?? "[" + (0..<parent.layers).map { String(heads[$0]) }.joined(separator: " ") + "]"
        }
        let tokens = calibrationTokens.map { " on \($0) tokens" } ?? ""
        guard let grouping else { return "\(method)\(tokens), \(parent.attentionLabel) to \(child.attentionLabel)" }
        let groups = grouping == .contiguous ? "" : " by \(grouping.rawValue)"
        return "\(method)\(groups)\(tokens), \(text(parent.kvHeads)) to \(text(child.kvHeads)) KV heads"
    }

    /// The report as a text table, with `isDetailed` layer by layer, cache bytes in `encoding`.
    public func text(encoding: KVEncoding = .float16, isDetailed: Bool = false) -> String {
        let cache = CacheEncoding(encoding)
        let before = parent.kvBytesPerToken(cache)
        let after = child.kvBytesPerToken(cache)
        guard grouping != nil else {
            let context = parent.maxSequence
            return """
                \(parent.attentionLabel) → \(child.attentionLabel)
                KV cache: \(before) → \(after) bytes per token in \(encoding.name), \
                \(parent.kvBytes(cache, tokens: context)) → \(child.kvBytes(cache, tokens: context)) bytes for \(context) tokens
                parameters: \(parent.parameterCount) → \(child.parameterCount)
                """
        }
        var lines = [
            "KV cache: \(before) → \(after) bytes per token in \(encoding.name) (\(percent(after, of: before)))",
            "parameters: \(parent.parameterCount) → \(child.parameterCount)",
        ]
        if isDetailed {
            lines.append("similarity: mean cosine of the heads that become one")
            lines.append("norm ratio: the merged head's norm over that of its heads, 1 where the scale is kept")
            lines.append("layer  KV heads  K similarity  K norm ratio  V similarity  V norm ratio")
        }
        for layer in layers where isDetailed {
            lines.append(
                String(
                    format: "%5d  %2d → %2d       %7.4f       %7.4f       %7.4f       %7.4f", layer.layer, layer.from, layer.to,
                    layer.key.similarity, layer.key.normRatio, layer.value.similarity, layer.value.normRatio))
        }
        let fixed = layers.reduce(0) { $0 + $1.fixedPlanes }
        if fixed > 0 {
            let planes = layers.filter { $0.from != $0.to }.reduce(0) { $0 + parent.headDim[$1.layer] / 2 }
            lines.append(
                "QK-norm: keys are pooled without being turned in \(fixed) of \(planes) RoPE planes, whose two gains differ")
        }
        return lines.joined(separator: "\n")
    }

    private func percent(_ part: Int, of whole: Int) -> String { "\((1000 * part / max(whole, 1) + 5) / 10) %" }
}
