import Kernels

extension Tensor {
    /// The mean cross-entropy of the logits x·Wᵀ against `targets`, the logits never existing whole.
    ///
    /// x [rows, in], weight [vocab, in]; rows whose target is negative are not scored. The loss is divided by
    /// `normalizer`, by default the number of rows scored (0 scored rows give 0). The gradient is computed along with the
    /// loss, chunk by chunk, where it will be needed.
    public func linearCrossEntropy(_ weight: Tensor, targets: [Int32], normalizer: Int? = nil) -> Tensor {
        let width = shape[-1]
        let rows = shape.count / max(width, 1)
        let classes = weight.shape[0]
        precondition(weight.shape == [classes, width], "linearCrossEntropy: weight \(weight.shape) for width \(width)")
        precondition(targets.count == rows, "linearCrossEntropy: \(targets.count) targets for \(rows) rows")
        let scored = normalizer ?? targets.count { $0 >= 0 }
        let wanted = requiresGradient || weight.requiresGradient
        let chunk = LinearCrossEntropy.chunkRows(classes: classes, rows: rows)
        let logits = Storage(count: chunk * classes)
        let losses = Storage(count: rows)
        let xGradient = wanted ? Storage(count: rows * width) : nil
        let weightGradient = wanted ? Storage(count: classes * width) : nil
        let readWeight = Matrix(weight.storage, rows: classes, columns: width)
        for start in stride(from: 0, to: rows, by: chunk) {
            let count = min(chunk, rows - start)
            let x = Matrix(storage, offset: start * width, rows: count, columns: width)
            let scores = Matrix(logits, rows: count, columns: classes)
            MatMul.multiply(x, readWeight.transpose, into: scores)
            CrossEntropy.rows(
                logits: logits, targets: targets, firstTarget: start, rows: count, classes: classes, into: losses,
                firstLoss: start,
                gradientScale: wanted ? 1 / Float(max(scored, 1)) : nil)
            if let xGradient, let weightGradient {
                MatMul.multiply(scores, readWeight, into: Matrix(xGradient, offset: start * width, rows: count, columns: width))
                MatMul.multiply(
                    scores.transpose, x, into: Matrix(weightGradient, rows: classes, columns: width), beta: start == 0 ? 0 : 1)
            }
        }
        let loss = scored == 0 ? 0 : Float(Elementwise.sum(losses) / Double(scored))
        return .result([], Storage(copying: [loss]), from: [self, weight]) { gradient, sink in
            guard let xGradient, let weightGradient else { return }
            let scale = gradient[0]
            if scale != 1 {
                Elementwise.scale(xGradient, by: scale, into: xGradient)
                Elementwise.scale(weightGradient, by: scale, into: weightGradient)
            }
            sink.add(0, xGradient)
            sink.add(1, weightGradient)
        }
    }
}

/// Sizes and the forward-only form of the fused output projection and cross-entropy.
public enum LinearCrossEntropy {
    /// Rows worked on at a time: some 4 MiB of logits.
    static func chunkRows(classes: Int, rows: Int) -> Int { max(1, min(rows, max(64, (1 << 20) / max(classes, 1)))) }

    /// Each row's negative log-likelihood in nats, [rows]; 0 where the target is negative.
    public static func losses(_ x: Tensor, weight: Tensor, targets: [Int32]) -> [Float] {
        let width = x.shape[-1]
        let (rows, classes) = (targets.count, weight.shape[0])
        let chunk = chunkRows(classes: classes, rows: rows)
        let logits = Storage(count: chunk * classes)
        let losses = Storage(count: rows)
        for start in stride(from: 0, to: rows, by: chunk) {
            let count = min(chunk, rows - start)
            MatMul.multiply(
                Matrix(x.storage, offset: start * width, rows: count, columns: width),
                Matrix(weight.storage, rows: classes, columns: width, transposed: true),
                into: Matrix(logits, rows: count, columns: classes))
            CrossEntropy.rows(
                logits: logits, targets: targets, firstTarget: start, rows: count, classes: classes, into: losses,
                firstLoss: start)
        }
        return losses.array()
    }
}
