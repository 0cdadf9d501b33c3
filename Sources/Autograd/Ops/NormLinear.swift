import Kernels

extension Tensor {
    /// linear(rmsNorm(x)·g) for several weights side by side; x [rows, in], gain [in], weights [outᵢ, in].
    ///
    /// The normalised input is not kept but recomputed in the backward pass: it costs one pass over memory and saves a
    /// [rows, in] activation.
    public func normLinear(gain: Tensor, weights: [Tensor], epsilon: Float) -> Tensor {
        let width = shape[-1]
        let rows = shape.count / max(width, 1)
        precondition(gain.shape == [width], "normLinear: gain \(gain.shape) for width \(width)")
        let layout = LinearLayout(inputs: width, weights: weights, "normLinear")
        let (x, g) = (storage, gain.storage)
        let rstd = Storage(count: rows)
        let normed = Storage(count: rows * width)
        Normalization.rmsNorm(x: x, weight: g, into: normed, rstd: rstd, rows: rows, width: width, epsilon: epsilon)
        let output = Storage(count: rows * layout.outputs)
        layout.forward(normed, rows: rows, into: output, beta: 0)
        let outputShape = Shape(shape.dimensions.dropLast() + [layout.outputs])
        return .result(outputShape, output, from: [self, gain] + weights) { gradient, sink in
            let normed = Storage(count: rows * width)
            Normalization.rmsNormApply(x: x, weight: g, rstd: rstd, into: normed, rows: rows, width: width)
            layout.weightGradients(normed, rows: rows, gradient: gradient, firstInput: 2, &sink)
            guard sink.needs(0) || sink.needs(1) else { return }
            // The recomputed input is not needed any more: its memory takes the gradient.
            layout.inputGradient(gradient, rows: rows, into: normed, beta: 0)
            let gainGradient = Storage(count: width)
            sink.accumulate(0, count: rows * width, orDiscard: true) { into, beta in
                Normalization.rmsNormGradient(
                    x: x, weight: g, rstd: rstd, dy: normed, into: into, dw: gainGradient, rows: rows, width: width,
                    accumulate: beta == 1)
            }
            sink.add(1, gainGradient)
        }
    }
}
