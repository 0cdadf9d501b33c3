import Kernels

extension Tensor {
    /// The concatenation of tensors along `axis`; their other extents are equal.
    public static func concat(_ tensors: [Tensor], axis: Int = 0) -> Tensor {
        guard let first = tensors.first else { preconditionFailure("concat: nothing to join") }
        let axis = first.shape.axis(axis, "concat")
        var extents = first.shape.dimensions
        extents[axis] = tensors.reduce(0) { total, tensor in
            var expected = first.shape.dimensions
            if axis < tensor.shape.rank { expected[axis] = tensor.shape[axis] }
            precondition(tensor.shape.dimensions == expected, "concat: \(tensor.shape) beside \(first.shape) along axis \(axis)")
            return total + tensor.shape[axis]
        }
        let target = Shape(extents)
        let output = Storage(count: target.count)
        let strides = target.strides
        var parts: [(offset: Int, shape: Shape)] = []
        var start = 0
        for tensor in tensors {
            let offset = start * strides[axis]
            StridedCopy.copy(
                .init(tensor.storage, strides: tensor.shape.strides), to: .init(output, offset: offset, strides: strides),
                extents: tensor.shape.dimensions)
            parts.append((offset, tensor.shape))
            start += tensor.shape[axis]
        }
        let pieces = parts
        return .result(target, output, from: tensors) { gradient, sink in
            for (index, (offset, shape)) in pieces.enumerated() {
                sink.accumulate(index, count: shape.count) { into, beta in
                    StridedCopy.copy(
                        .init(gradient, offset: offset, strides: strides), to: .init(into, strides: shape.strides),
                        extents: shape.dimensions, accumulate: beta == 1)
                }
            }
        }
    }
}
