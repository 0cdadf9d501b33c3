/// The output projection fused with cross-entropy: logits are materialised one chunk of rows at a time.
public struct LinearCrossEntropyKernel: Sendable {
    private let layer: LinearKernel

    /// Logits are rows · weightᵀ, with `weight` [classes, width], multiplied in `precision`.
    public init(weight: Matrix, precision: ComputePrecision = .fp32) {
        layer = LinearKernel([weight], precision: precision)
    }

    /// Destinations of the gradients of the summed losses times `scale`.
    public struct Gradients: Sendable {
        /// The gradient of the rows, [rows, width].
        public let rows: Storage
        /// The gradient of the weight, [classes, width].
        public let weight: Storage
        /// Factor on each row's loss.
        public let scale: Float

        /// Gradients written to these storages.
        public init(rows: Storage, weight: Storage, scale: Float) {
            self.rows = rows
            self.weight = weight
            self.scale = scale
        }
    }

    /// Each row's negative log-likelihood in nats of its target, 0 for a negative target; x is [targets.count, width].
    public func losses(_ x: Storage, targets: [Int32], gradients: Gradients? = nil) -> Storage {
        let (width, classes, rows) = (layer.inputs, layer.outputs, targets.count)
        precondition(x.count == rows * width, "linearCrossEntropy: \(rows) targets for \(x.count) elements of width \(width)")
        let losses = Storage(count: rows)
        // About 16 MiB of logits: the weight's gradient is read and written once a chunk.
        let chunk = max(1, min(rows, max(64, (1 << 22) / max(classes, 1))))
        let logits = Storage(count: chunk * classes)
        let forward = layer.packedForward()
        let backward = gradients == nil ? nil : layer.packedBackward()
        for start in stride(from: 0, to: rows, by: chunk) {
            let count = min(chunk, rows - start)
            let input = RowInput.matrix(Matrix(x, offset: start * width, rows: count, columns: width))
            let scores = Matrix(logits, rows: count, columns: classes)
            let output = RowOutput.crossEntropy(
                logits: scores, targets: targets[start..<start + count], losses: losses, firstLoss: start,
                gradientScale: gradients?.scale)
            output.check(rows: count, width: classes)
            GEMM.rows(count, input, forward, into: output)
            guard let gradients, let backward else { continue }
            GEMM.rows(
                count, .matrix(scores), backward,
                into: .matrix(Matrix(gradients.rows, offset: start * width, rows: count, columns: width), accumulate: false))
            layer.weightGradient(
                0, gradient: scores, input: layer.packInput(input, rows: count), into: gradients.weight, accumulate: start > 0)
        }
        if rows == 0, let gradients { Elementwise.fill(gradients.weight, with: 0) }
        return losses
    }
}
