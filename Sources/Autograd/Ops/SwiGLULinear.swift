import Kernels

extension Tensor {
    /// residual + (silu(gate)·up)·Wᵀ for rows [gate | up] of width 2·f and a weight [out, f].
    ///
    /// The product silu(gate)·up is never materialised: its blocks are computed as they are multiplied, forward and backward.
    public func swiGLULinear(_ weight: Tensor, residual: Tensor? = nil, precision: ComputePrecision = .fp32) -> Tensor {
        let width = shape[-1] / 2
        let rows = shape.count / max(2 * width, 1)
        precondition(shape[-1] == 2 * width, "swiGLULinear: rows of \(shape[-1]) are no pairs")
        let kernel = LinearKernel(inputs: width, weights: [weight], precision, "swiGLULinear")
        let saved = SavedStorage(storage)
        let output = kernel.forward(.swiGLU(gateUp: storage), rows: rows, residual: residual, "swiGLULinear")
        let outputShape = Shape(shape.dimensions.dropLast() + [kernel.outputs])
        return .result(outputShape, output, from: [self, weight] + (residual.map { [$0] } ?? [])) { gradient, sink in
            let (gateUp, gateUpGradient) = saved.take()
            sink.addWeightGradients(
                kernel, .swiGLU(gateUp: gateUp), rows: rows, gradient: gradient, firstInput: 1, count: 1)
            if sink.needs(0) {
                kernel.inputGradient(
                    .matrix(Matrix(gradient, rows: rows, columns: kernel.outputs)), rows: rows,
                    into: .swiGLUGradient(gateUp: gateUp, into: gateUpGradient))
                sink.add(0, gateUpGradient)
            }
            sink.addResidual(2, gradient)
        }
    }
}
