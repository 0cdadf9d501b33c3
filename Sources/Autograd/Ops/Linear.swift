import Kernels

extension Tensor {
    /// x·Wᵀ for several weights at once, side by side: x [rows, in] with weights [outᵢ, in] gives [rows, Σ outᵢ].
    ///
    /// With `residual` [rows, Σ outᵢ] the product is added to it.
    public func linear(_ weights: Tensor..., residual: Tensor? = nil) -> Tensor { linear(weights, residual: residual) }

    /// As ``linear(_:residual:)-(Tensor...,_)``.
    public func linear(_ weights: [Tensor], residual: Tensor? = nil) -> Tensor {
        let width = shape[-1]
        let rows = shape.count / max(width, 1)
        let layout = LinearLayout(inputs: width, weights: weights, "linear")
        let x = storage
        let output = Storage(count: rows * layout.outputs)
        if let residual {
            precondition(
                residual.shape.count == output.count, "linear: residual \(residual.shape) for [\(rows), \(layout.outputs)]")
            Elementwise.scale(residual.storage, by: 1, into: output)
        }
        layout.forward(x, rows: rows, into: output, beta: residual == nil ? 0 : 1)
        let outputShape = Shape(shape.dimensions.dropLast() + [layout.outputs])
        return .result(outputShape, output, from: [self] + weights + (residual.map { [$0] } ?? [])) { gradient, sink in
            layout.weightGradients(x, rows: rows, gradient: gradient, firstInput: 1, &sink)
            sink.accumulate(0, count: rows * width) { layout.inputGradient(gradient, rows: rows, into: $0, beta: $1) }
            sink.addResidual(1 + weights.count, gradient)
        }
    }
}

extension GradientSink {
    /// Passes the pullback's gradient on unchanged, where the op has an input of that index; the pullback's last act.
    mutating func addResidual(_ index: Int, _ gradient: Storage) {
        if hasInput(index) { add(index, gradient, owned: ownsGradient) }
    }
}

/// Weights [outᵢ, in] whose outputs stand side by side in rows of Σ outᵢ.
struct LinearLayout: Sendable {
    let inputs: Int
    let outputs: Int
    private let weights: [(storage: Storage, rows: Int, start: Int)]

    init(inputs: Int, weights: [Tensor], _ op: StaticString) {
        var start = 0
        self.inputs = inputs
        self.weights = weights.map { weight in
            precondition(
                weight.shape.rank == 2 && weight.shape[1] == inputs, "\(op): weight \(weight.shape) for inputs of width \(inputs)"
            )
            defer { start += weight.shape[0] }
            return (weight.storage, weight.shape[0], start)
        }
        outputs = start
    }

    /// output (+)= x·Wᵀ.
    func forward(_ x: Storage, rows: Int, into output: Storage, beta: Float) {
        let input = Matrix(x, rows: rows, columns: inputs)
        for (weight, count, start) in weights {
            MatMul.multiply(
                input, Matrix(weight, rows: count, columns: inputs, transposed: true),
                into: Matrix(output, offset: start, rows: rows, columns: count, stride: outputs), beta: beta)
        }
    }

    /// into (+)= gradient·W.
    func inputGradient(_ gradient: Storage, rows: Int, into: Storage, beta: Float) {
        var beta = beta
        for (weight, count, start) in weights {
            MatMul.multiply(
                Matrix(gradient, offset: start, rows: rows, columns: count, stride: outputs),
                Matrix(weight, rows: count, columns: inputs), into: Matrix(into, rows: rows, columns: inputs), beta: beta)
            beta = 1
        }
    }

    /// Adds gradientᵀ·x for each weight that wants it; the first weight is input `firstInput` of the op.
    func weightGradients(_ x: Storage, rows: Int, gradient: Storage, firstInput: Int, _ sink: inout GradientSink) {
        for (index, (_, count, start)) in weights.enumerated() {
            sink.accumulate(firstInput + index, count: count * inputs) { into, beta in
                MatMul.multiply(
                    Matrix(gradient, offset: start, rows: rows, columns: count, stride: outputs, transposed: true),
                    Matrix(x, rows: rows, columns: inputs), into: Matrix(into, rows: count, columns: inputs), beta: beta)
            }
        }
    }
}
