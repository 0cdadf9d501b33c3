import Kernels

extension Tensor {
    /// linear(rmsNorm(x)·g) for several weights side by side; x [rows, in], gain [in], weights [outᵢ, in].
    ///
    /// The normalised input is never materialised: its blocks are computed as they are multiplied, forward and backward.
    public func normLinear(gain: Tensor, weights: [Tensor], epsilon: Float, precision: ComputePrecision = .fp32) -> Tensor {
        let width = shape[-1]
        let rows = shape.count / max(width, 1)
        precondition(gain.shape == [width], "normLinear: gain \(gain.shape) for width \(width)")
        let kernel = LinearKernel(inputs: width, weights: weights, precision, "normLinear")
        let (x, g) = (storage, gain.storage)
        let rstd = Storage(count: rows)
        let output = kernel.forward(
            .rmsNorm(x: x, weight: g, rstd: rstd, epsilon: epsilon), rows: rows, residual: nil, "normLinear")
        let outputShape = Shape(shape.dimensions.dropLast() + [kernel.outputs])
        return .result(outputShape, output, from: [self, gain] + weights) { gradient, sink in
            sink.addWeightGradients(
                kernel, .rmsNorm(x: x, weight: g, rstd: rstd, epsilon: nil), rows: rows, gradient: gradient, firstInput: 2,
                count: weights.count)
            guard sink.needs(0) || sink.needs(1) else { return }
            let gainGradient = Storage(repeating: 0, count: width)
            sink.accumulate(0, count: rows * width, orDiscard: true) { into, beta in
                kernel.inputGradient(
                    .matrix(Matrix(gradient, rows: rows, columns: kernel.outputs)), rows: rows,
                    into: .rmsNormGradient(
                        x: x, weight: g, rstd: rstd, into: into, weightGradient: gainGradient, accumulate: beta == 1))
            }
            sink.add(1, gainGradient)
        }
    }
}
