import Kernels

extension Tensor {
    /// The softmax eˣ / Σ eˣ over `axis`, by default the last; another axis is transposed to the end and back.
    public func softmax(_ axis: Int = -1) -> Tensor {
        alongLast(axis, "softmax", Softmax.softmax, Softmax.softmaxGradient)
    }

    /// The log-softmax x − log Σ eˣ over `axis`, by default the last; another axis is transposed to the end and back.
    public func logSoftmax(_ axis: Int = -1) -> Tensor {
        alongLast(axis, "logSoftmax", Softmax.logSoftmax, Softmax.logSoftmaxGradient)
    }

    /// The extent of the last axis and the number of rows.
    var rowsAndWidth: (rows: Int, width: Int) {
        let width = shape.rank == 0 ? 1 : shape[-1]
        return (width == 0 ? 0 : shape.count / width, width)
    }

    /// A function of the rows along `axis`; its gradient goes by its output.
    private func alongLast(
        _ axis: Int, _ op: StaticString, _ function: (_ x: Storage, _ into: Storage, _ rows: Int, _ width: Int) -> Void,
        _ pullback: @escaping @Sendable (_ y: Storage, _ dy: Storage, _ into: Storage, _ rows: Int, _ width: Int) -> Void
    ) -> Tensor {
        let axis = shape.axis(axis, op)
        guard axis == shape.rank - 1 else {
            return transposed(axis, -1).alongLast(-1, op, function, pullback).transposed(axis, -1)
        }
        let (rows, width) = rowsAndWidth
        let output = Storage(count: shape.count)
        function(storage, output, rows, width)
        return .result(shape, output, from: [self], op: op) { gradient, sink in
            let dx = Storage(count: gradient.count)
            pullback(output, gradient, dx, rows, width)
            sink.add(0, dx)
        }
    }
}
