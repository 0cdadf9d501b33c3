import Kernels

extension Tensor {
    /// The mean cross-entropy of the logits x·Wᵀ against `targets`, computed in chunks: the logits are never materialised.
    ///
    /// x [rows, in], weight [vocab, in]; rows with a negative target are not scored. The loss is divided by `normalizer`, by
    /// default the number of scored rows (0 scored rows give 0). The gradient, if required, is computed along with the loss.
    /// Products are multiplied in `precision`.
    public func linearCrossEntropy(
        _ weight: Tensor, targets: [Int32], normalizer: Int? = nil, precision: ComputePrecision = .fp32
    ) -> Tensor {
        let kernel = LinearCrossEntropyKernel(self, weight, targets, precision)
        let scored = normalizer ?? targets.count { $0 >= 0 }
        let wanted = requiresGradient || weight.requiresGradient
        let gradients =
            wanted
            ? LinearCrossEntropyKernel.Gradients(
                rows: Storage(count: shape.count), weight: Storage(count: weight.shape.count), scale: 1 / Float(max(scored, 1)))
            : nil
        let losses = kernel.losses(storage, targets: targets, gradients: gradients)
        let loss = scored == 0 ? 0 : Float(Elementwise.sum(losses) / Double(scored))
        return .result([], Storage(copying: [loss]), from: [self, weight]) { gradient, sink in
            guard let gradients else { return }
            let scale = gradient[0]
            if scale != 1 {
                Elementwise.scale(gradients.rows, by: scale, into: gradients.rows)
                Elementwise.scale(gradients.weight, by: scale, into: gradients.weight)
            }
            sink.add(0, gradients.rows)
            sink.add(1, gradients.weight)
        }
    }
}

/// The forward-only form of the fused output projection and cross-entropy.
public enum LinearCrossEntropy {
    /// Each row's negative log-likelihood in nats, [rows]; 0 where the target is negative.
    public static func losses(_ x: Tensor, weight: Tensor, targets: [Int32], precision: ComputePrecision = .fp32) -> [Float] {
        LinearCrossEntropyKernel(x, weight, targets, precision).losses(x.storage, targets: targets).array()
    }
}

extension LinearCrossEntropyKernel {
    fileprivate init(_ x: Tensor, _ weight: Tensor, _ targets: [Int32], _ precision: ComputePrecision) {
        let (width, classes) = (x.shape[-1], weight.shape[0])
        precondition(weight.shape == [classes, width], "linearCrossEntropy: weight \(weight.shape) for width \(width)")
        precondition(
            targets.count * width == x.shape.count, "linearCrossEntropy: \(targets.count) targets for \(x.shape)")
        self.init(weight: Matrix(weight.storage, rows: classes, columns: width), precision: precision)
    }
}
