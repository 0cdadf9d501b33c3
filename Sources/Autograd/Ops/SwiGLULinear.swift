import Kernels

extension Tensor {
    /// residual + (silu(gate)·up)·Wᵀ for rows [gate | up] of width 2·f and a weight [out, f].
    ///
    /// The product silu(gate)·up is not kept but recomputed in the backward pass.
    public func swiGLULinear(_ weight: Tensor, residual: Tensor? = nil) -> Tensor {
        let width = shape[-1] / 2
        let rows = shape.count / max(2 * width, 1)
        precondition(shape[-1] == 2 * width, "swiGLULinear: rows of \(shape[-1]) are no pairs")
        let layout = LinearLayout(inputs: width, weights: [weight], "swiGLULinear")
        let gateUp = storage
        let output = Storage(count: rows * layout.outputs)
        if let residual {
            precondition(
                residual.shape.count == output.count, "swiGLULinear: residual \(residual.shape) for [\(rows), \(layout.outputs)]")
            Elementwise.scale(residual.storage, by: 1, into: output)
        }
        let hidden = Storage(count: rows * width)
        SwiGLU.forward(gateUp: gateUp, into: hidden, rows: rows, width: width)
        layout.forward(hidden, rows: rows, into: output, beta: residual == nil ? 0 : 1)
        let outputShape = Shape(shape.dimensions.dropLast() + [layout.outputs])
        return .result(outputShape, output, from: [self, weight] + (residual.map { [$0] } ?? [])) { gradient, sink in
            let hidden = Storage(count: rows * width)
            SwiGLU.forward(gateUp: gateUp, into: hidden, rows: rows, width: width)
            layout.weightGradients(hidden, rows: rows, gradient: gradient, firstInput: 1, &sink)
            if sink.needs(0) {
                layout.inputGradient(gradient, rows: rows, into: hidden, beta: 0)
                let gateUpGradient = Storage(count: rows * 2 * width)
                SwiGLU.gradient(gateUp: gateUp, dy: hidden, into: gateUpGradient, rows: rows, width: width)
                sink.add(0, gateUpGradient)
            }
            sink.addResidual(2, gradient)
        }
    }
}
