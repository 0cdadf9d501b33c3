import Foundation

extension Diagnosis {
    /// The diagnosis as a text table.
    public var text: String {
        var lines = [
            "layer  KV heads  K raw → aligned  V raw → aligned  K norm of mean  V norm of mean  attention entropy (nats)"
        ]
        for layer in layers {
            lines.append(
                String(
                    format: "%5d  %2d → %2d  %6.3f → %6.3f  %6.3f → %6.3f  %14.3f  %14.3f  %6.3f → %6.3f", layer.layer,
                    layer.from,
                    layer.to, layer.keySimilarity.raw, layer.keySimilarity.aligned, layer.valueSimilarity.raw,
                    layer.valueSimilarity.aligned, layer.keyNormOfMean, layer.valueNormOfMean, layer.parentEntropy,
                    layer.childEntropy))
        }
        lines.append(
            String(
                format:
                    "cross-entropy on %d tokens of the calibration text: %.4f → %.4f nats a token with '%@', nothing trained yet",
                tokens, parentCrossEntropy, childCrossEntropy, method))
        return lines.joined(separator: "\n")
    }
}
