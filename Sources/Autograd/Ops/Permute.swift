import Kernels

extension Tensor {
    /// The tensor with its axes permuted: axis i of the result is axis `order[i]` of this tensor.
    public func permuted(_ order: [Int]) -> Tensor {
        let order = order.map { shape.axis($0, "permuted") }
        precondition(
            Set(order) == Set(0..<shape.rank) && order.count == shape.rank,
            "permuted: \(order) is no order of the axes of \(shape)")
        let target = Shape(order.map { shape.dimensions[$0] })
        let strides = shape.strides
        let read = order.map { strides[$0] }
        let output = Storage(count: shape.count)
        StridedCopy.copy(
            .init(storage, strides: read), to: .init(output, strides: target.strides), extents: target.dimensions)
        return .result(target, output, from: [self]) { gradient, sink in
            sink.accumulate(0, count: gradient.count) { into, beta in
                // In the order of the input, so that writes are contiguous.
                let inverse = order.indices.sorted { order[$0] < order[$1] }
                StridedCopy.copy(
                    .init(gradient, strides: inverse.map { target.strides[$0] }), to: .init(into, strides: strides),
                    extents: inverse.map { target.dimensions[$0] }, accumulate: beta == 1)
            }
        }
    }

    /// The tensor with its axes permuted: axis i of the result is axis `order[i]` of this tensor.
    public func permuted(_ order: Int...) -> Tensor { permuted(order) }

    /// The tensor with two axes exchanged, by default the last two.
    public func transposed(_ a: Int = -2, _ b: Int = -1) -> Tensor {
        var order = Array(0..<shape.rank)
        order.swapAt(shape.axis(a, "transposed"), shape.axis(b, "transposed"))
        return permuted(order)
    }
}
