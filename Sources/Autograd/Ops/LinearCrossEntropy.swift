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
        let gradients = LinearCrossEntropyKernel.Gradients(self, weight, scale: 1 / Float(max(scored, 1)))
        let losses = kernel.losses(storage, targets: targets, gradients: gradients)
        let loss = scored == 0 ? 0 : Float(Elementwise.sum(losses) / Double(scored))
        return .result([], Storage(copying: [loss]), from: [self, weight]) { gradient, sink in
            gradients?.add(times: gradient[0], to: &sink)
        }
    }

    /// Distillation (Hinton et al. 2015, Distilling the Knowledge in a Neural Network): the mean over scored rows of
    /// (1 − share)·NLL + share·T²·KL(softmax(teacher/T) ‖ softmax(logits/T)) for the logits x·Wᵀ, beside the mean NLL in nats alone.
    ///
    /// x [rows, in] and weight [vocab, in] against a teacher's rows [rows, its in] and weight [vocab, its in], which have no
    /// gradient. Both models' logits are computed in chunks and never materialised, with a share of 0 the teacher's not at all; all
    /// else is as in ``linearCrossEntropy(_:targets:normalizer:precision:)``.
    public func linearDistillation(
        _ weight: Tensor, targets: [Int32], teacher: (rows: Tensor, weight: Tensor), share: Float, temperature: Float = 1,
        normalizer: Int? = nil, precision: ComputePrecision = .fp32
    ) -> (objective: Tensor, nll: Double) {
        let kernel = LinearCrossEntropyKernel(self, weight, targets, precision)
        let (classes, width) = (teacher.weight.shape[0], teacher.weight.shape[-1])
        precondition(
            classes == weight.shape[0] && teacher.rows.shape.count == targets.count * width,
            "linearDistillation: a teacher's \(teacher.rows.shape) and \(teacher.weight.shape) for \(shape) and \(weight.shape)")
        let scored = normalizer ?? targets.count { $0 >= 0 }
        let gradients = LinearCrossEntropyKernel.Gradients(self, weight, scale: 1 / Float(max(scored, 1)))
        let divergences = Storage(repeating: 0, count: targets.count)
        let predictions = LinearCrossEntropyKernel.Teacher(
            rows: teacher.rows.storage, weight: Matrix(teacher.weight.storage, rows: classes, columns: width), share: share,
            temperature: temperature, precision: precision, divergences: divergences)
        let losses = kernel.losses(
            storage, targets: targets, teacher: share == 0 ? nil : predictions, gradients: gradients)
        let nll = scored == 0 ? 0 : Elementwise.sum(losses) / Double(scored)
        let divergence = scored == 0 ? 0 : Elementwise.sum(divergences) / Double(scored)
        let objective = Double(1 - share) * nll + Double(share * temperature * temperature) * divergence
        let result = Tensor.result([], Storage(copying: [Float(objective)]), from: [self, weight]) { gradient, sink in
            gradients?.add(times: gradient[0], to: &sink)
        }
        return (result, nll)
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

extension LinearCrossEntropyKernel.Gradients {
    /// New destinations for the gradients, the weight's where it is required; nil where neither is.
    fileprivate init?(_ x: Tensor, _ weight: Tensor, scale: Float) {
        guard x.requiresGradient || weight.requiresGradient else { return nil }
        self.init(
            rows: Storage(count: x.shape.count), weight: weight.requiresGradient ? Storage(count: weight.shape.count) : nil,
            scale: scale)
    }

    /// Adds the gradients times `factor`, in place.
    fileprivate func add(times factor: Float, to sink: inout GradientSink) {
        if factor != 1 {
            Elementwise.scale(rows, by: factor, into: rows)
            if let weight { Elementwise.scale(weight, by: factor, into: weight) }
        }
        sink.add(0, rows)
        if let weight { sink.add(1, weight) }
    }
}
