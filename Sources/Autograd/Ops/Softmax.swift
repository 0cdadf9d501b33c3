import Kernels

extension Tensor {
    /// The softmax eˣ / Σ eˣ over `axis`, by default the last; another axis is transposed to the end and back.
    public func softmax(_ axis: Int = -1) -> Tensor {
        alongLast(axis, "softmax") { tensor in
            let (rows, width) = tensor.rowsAndWidth
            let output = Storage(count: tensor.shape.count)
            Softmax.softmax(tensor.storage, into: output, rows: rows, width: width)
            return .result(tensor.shape, output, from: [tensor]) { gradient, sink in
                let dx = Storage(count: gradient.count)
                Softmax.softmaxGradient(y: output, dy: gradient, into: dx, rows: rows, width: width)
                sink.add(0, dx)
            }
        }
    }

    /// The log-softmax x − log Σ eˣ over `axis`, by default the last; another axis is transposed to the end and back.
    public func logSoftmax(_ axis: Int = -1) -> Tensor {
        alongLast(axis, "logSoftmax") { tensor in
            let (rows, width) = tensor.rowsAndWidth
            let output = Storage(count: tensor.shape.count)
            Softmax.logSoftmax(tensor.storage, into: output, rows: rows, width: width)
            return .result(tensor.shape, output, from: [tensor]) { gradient, sink in
                let dx = Storage(count: gradient.count)
                Softmax.logSoftmaxGradient(y: output, dy: gradient, into: dx, rows: rows, width: width)
                sink.add(0, dx)
            }
        }
    }

    /// The extent of the last axis and the number of rows.
    var rowsAndWidth: (rows: Int, width: Int) {
        let width = shape.rank == 0 ? 1 : shape[-1]
        return (width == 0 ? 0 : shape.count / width, width)
    }

    private func alongLast(_ axis: Int, _ op: StaticString, _ body: (Tensor) -> Tensor) -> Tensor {
        let axis = shape.axis(axis, op)
        return axis == shape.rank - 1 ? body(self) : body(transposed(axis, -1)).transposed(axis, -1)
    }
}
