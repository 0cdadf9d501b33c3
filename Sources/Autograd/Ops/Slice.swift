import Kernels

extension Tensor {
    /// A copy of the slice of `axis` at indices `range`.
    public func slice(_ range: Range<Int>, axis: Int = 0) -> Tensor {
        let axis = shape.axis(axis, "slice")
        precondition(
            range.lowerBound >= 0 && range.upperBound <= shape[axis], "slice: \(range) of axis \(axis) of \(shape)")
        var extents = shape.dimensions
        extents[axis] = range.count
        let target = Shape(extents)
        let strides = shape.strides
        let offset = range.lowerBound * strides[axis]
        let output = Storage(count: target.count)
        StridedCopy.copy(
            .init(storage, offset: offset, strides: strides), to: .init(output, strides: target.strides), extents: extents)
        let (count, dimensions) = (shape.count, target.dimensions)
        return .result(target, output, from: [self]) { gradient, sink in
            sink.accumulate(0, count: count) { into, beta in
                if beta == 0 { Elementwise.fill(into, with: 0) }
                StridedCopy.copy(
                    .init(gradient, strides: target.strides), to: .init(into, offset: offset, strides: strides),
                    extents: dimensions, accumulate: beta == 1)
            }
        }
    }
}
