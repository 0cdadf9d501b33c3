import CKernels

/// x·Wᵀ for weights [outᵢ, in] with concatenated outputs, and its gradients.
///
/// Operands are packed and multiplied by kernels for the processor (`CKernels/gemm.h`); prologues and epilogues run on blocks of
/// rows while these are in cache. Each output element is summed by one thread in an order that depends on the shapes alone, so
/// results are the same for any number of threads.
public struct LinearKernel: Sendable {
    /// Width of an input row.
    public let inputs: Int
    /// Width of an output row, all weights together.
    public let outputs: Int
    /// The precision of the products.
    public let precision: ComputePrecision
    private let weights: [Matrix]

    /// A layer over `weights`, at least one, each [outᵢ, inputs] as stored.
    public init(_ weights: [Matrix], precision: ComputePrecision = .fp32) {
        precondition(
            !weights.isEmpty && weights.allSatisfy { $0.columns == weights[0].columns && !$0.transposed },
            "linear: weights of different input widths")
        self.weights = weights
        self.precision = precision
        inputs = weights[0].columns
        outputs = weights.reduce(0) { $0 + $1.rows }
    }

    /// output = input·Wᵀ, rows [inputs] to rows [outputs].
    public func forward(_ input: RowInput, rows: Int, into output: RowOutput) {
        input.check(rows: rows, width: inputs)
        output.check(rows: rows, width: outputs)
        if precision == .fp32, rows < Self.fewRows, let matrix = output.matrix {
            forwardUnpacked(input, rows: rows, matrix, into: output)
        } else {
            GEMM.rows(rows, input, packedForward(), into: output)
        }
    }

    /// output = gradient·W, rows [outputs] to rows [inputs].
    public func inputGradient(_ gradient: RowInput, rows: Int, into output: RowOutput) {
        gradient.check(rows: rows, width: outputs)
        output.check(rows: rows, width: inputs)
        GEMM.rows(rows, gradient, packedBackward(), into: output)
    }

    /// Elements of weight `index`.
    public func weightCount(_ index: Int) -> Int { weights[index].rows * inputs }

    /// Bytes of `rows` input rows of `width` packed for the gradients of the weights.
    public static func packedInputBytes(rows: Int, width: Int, precision: ComputePrecision) -> Int {
        4 * GEMMPanels.count(inner: rows, outer: width, precision: precision)
    }

    /// Packs `rows` input rows, once for the ``weightGradient(_:gradient:input:into:accumulate:)`` of all weights.
    public func packInput(_ input: RowInput, rows: Int) -> GEMMPanels {
        input.check(rows: rows, width: inputs)
        return GEMMPanels(input, rows: rows, width: inputs, precision: precision)
    }

    /// into [outᵢ, inputs] (+)= gradientᵀ·input for weight `index`, with gradient [rows, outputs].
    public func weightGradient(_ index: Int, gradient: Matrix, input: GEMMPanels, into: Storage, accumulate: Bool) {
        let start = weights[..<index].reduce(0) { $0 + $1.rows }
        let count = weights[index].rows
        precondition(
            gradient.rows == input.inner && gradient.columns == outputs && !gradient.transposed
                && into.count == count * inputs, "linear: the weight gradient's storages don't fit")
        GEMM.transposed(
            Matrix(
                gradient.storage, offset: gradient.offset + start, rows: gradient.rows, columns: count, stride: gradient.stride),
            input, into: Matrix(into, rows: count, columns: inputs), accumulate: accumulate)
    }

    /// Rows below which packing the weights costs more than it saves.
    private static var fewRows: Int { 32 }

    func packedForward() -> GEMMPanels { GEMMPanels(transposed: weights, precision: precision) }

    func packedBackward() -> GEMMPanels {
        GEMMPanels(
            weights.count == 1 ? .matrix(weights[0]) : .stacked(weights), rows: outputs, width: inputs, precision: precision)
    }

    private func forwardUnpacked(_ input: RowInput, rows: Int, _ matrix: Matrix, into output: RowOutput) {
        guard rows > 0 else { return }
        let scratch = Storage(count: input.scratchCount(rows: rows, width: inputs))
        let source = unsafe input.rows(0..<rows, width: inputs, scratch: scratch)
        let target = unsafe output.target(0..<rows, width: outputs, scratch: scratch)
        let x =
            if case .matrix(let x) = input { x } else { Matrix(scratch, rows: rows, columns: unsafe source.stride) }
        var start = 0
        for weight in weights {
            MatMul.multiply(
                x, weight.transpose,
                into: Matrix(
                    matrix.storage, offset: matrix.offset + start, rows: rows, columns: weight.rows, stride: matrix.stride),
                beta: unsafe target.accumulate ? 1 : 0)
            start += weight.rows
        }
        unsafe output.finish(0..<rows, width: outputs, target, partials: scratch, index: 0)
    }
}
