import Kernels

extension Tensor {
    /// x·Wᵀ for several weights at once, side by side: x [rows, in] with weights [outᵢ, in] gives [rows, Σ outᵢ].
    ///
    /// With `residual` [rows, Σ outᵢ] the product is added to it. Products are multiplied in `precision`.
    public func linear(_ weights: Tensor..., residual: Tensor? = nil, precision: ComputePrecision = .fp32) -> Tensor {
        linear(weights, residual: residual, precision: precision)
    }

    /// x·Wᵀ for a list of weights; see ``linear(_:residual:precision:)-(Tensor...,_,_)``.
    public func linear(_ weights: [Tensor], residual: Tensor? = nil, precision: ComputePrecision = .fp32) -> Tensor {
        let width = shape[-1]
        let rows = shape.count / max(width, 1)
        let kernel = LinearKernel(inputs: width, weights: weights, precision, "linear")
        let x = RowInput.matrix(Matrix(storage, rows: rows, columns: width))
        let output = kernel.forward(x, rows: rows, residual: residual, "linear")
        let outputShape = Shape(shape.dimensions.dropLast() + [kernel.outputs])
        return .result(outputShape, output, from: [self] + weights + (residual.map { [$0] } ?? [])) { gradient, sink in
            sink.addWeightGradients(kernel, x, rows: rows, gradient: gradient, firstInput: 1, count: weights.count)
            let dy = Matrix(gradient, rows: rows, columns: kernel.outputs)
            sink.accumulate(0, count: rows * width) { into, beta in
                kernel.inputGradient(
                    .matrix(dy), rows: rows, into: .matrix(Matrix(into, rows: rows, columns: width), accumulate: beta == 1))
            }
            sink.addResidual(1 + weights.count, gradient)
        }
    }
}

extension LinearKernel {
    /// The layer over these weights, each [outᵢ, inputs].
    init(inputs: Int, weights: [Tensor], _ precision: ComputePrecision, _ op: StaticString) {
        self.init(
            weights.map { weight in
                precondition(
                    weight.shape.rank == 2 && weight.shape[1] == inputs,
                    "\(op): weight \(weight.shape) for inputs of width \(inputs)")
                return Matrix(weight.storage, rows: weight.shape[0], columns: inputs)
            }, precision: precision)
    }

    /// The product [rows, outputs], added to `residual` if given.
    func forward(_ input: RowInput, rows: Int, residual: Tensor?, _ op: StaticString) -> Storage {
        let output = Storage(count: rows * outputs)
        let matrix = Matrix(output, rows: rows, columns: outputs)
        if let residual {
            precondition(
                residual.shape.count == output.count, "\(op): residual \(residual.shape) for [\(rows), \(outputs)]")
            forward(input, rows: rows, into: .residual(matrix, residual: residual.storage))
        } else {
            forward(input, rows: rows, into: .matrix(matrix, accumulate: false))
        }
        return output
    }
}

extension GradientSink {
    /// Adds gradientᵀ·input for those of the kernel's `count` weights that require it, inputs of the op from `firstInput` on.
    mutating func addWeightGradients(
        _ kernel: LinearKernel, _ input: RowInput, rows: Int, gradient: Storage, firstInput: Int, count: Int
    ) {
        guard (0..<count).contains(where: { needs(firstInput + $0) }) else { return }
        let packed = kernel.packInput(input, rows: rows)
        let dy = Matrix(gradient, rows: rows, columns: kernel.outputs)
        for index in 0..<count {
            accumulate(firstInput + index, count: kernel.weightCount(index)) { into, beta in
                kernel.weightGradient(index, gradient: dy, input: packed, into: into, accumulate: beta == 1)
            }
        }
    }

    /// Adds the pullback's gradient unchanged, if the op has an input `index`. Called last, as it may hand over the storage.
    mutating func addResidual(_ index: Int, _ gradient: Storage) {
        if hasInput(index) { add(index, gradient, owned: ownsGradient) }
    }
}
