import Kernels

extension Tensor {
    /// The tensor in another shape of the same count, without a copy. One extent may be −1, inferred from the others.
    public func reshaped(_ dimensions: [Int]) -> Tensor {
        var extents = dimensions
        if let open = extents.firstIndex(of: -1) {
            extents[open] = 1
            let known = extents.reduce(1, *)
            precondition(known > 0 && shape.count % known == 0, "reshaped: \(shape) to \(dimensions)")
            extents[open] = shape.count / known
        }
        let target = Shape(extents)
        precondition(target.count == shape.count, "reshaped: \(shape) to \(dimensions)")
        return .result(target, storage, from: [self]) { gradient, sink in sink.add(0, gradient, owned: sink.ownsGradient) }
    }

    /// The tensor in another shape of the same count, without a copy.
    public func reshaped(_ dimensions: Int...) -> Tensor { reshaped(dimensions) }
}
