import Kernels

extension Tensor {
    /// The sum over `axes` (negative ones count from the end; by default all), which vanish, or stay with extent 1 under
    /// `keepDims`.
    public func sum(_ axes: [Int]? = nil, keepDims: Bool = false) -> Tensor { sum(axes, keepDims, scale: 1, "sum") }

    /// The sum over one axis.
    public func sum(_ axis: Int, keepDims: Bool = false) -> Tensor { sum([axis], keepDims: keepDims) }

    /// The mean over `axes` (negative ones count from the end; by default all), which vanish, or stay with extent 1 under
    /// `keepDims`. The mean of nothing is NaN.
    public func mean(_ axes: [Int]? = nil, keepDims: Bool = false) -> Tensor {
        let reduced = reducedAxes(axes, "mean").reduce(1) { $0 * shape[$1] }
        return sum(axes, keepDims, scale: 1 / Float(reduced), "mean")
    }

    /// The mean over one axis.
    public func mean(_ axis: Int, keepDims: Bool = false) -> Tensor { mean([axis], keepDims: keepDims) }

    private func sum(_ axes: [Int]?, _ keepDims: Bool, scale: Float, _ op: StaticString) -> Tensor {
        let reduced = reducedAxes(axes, op)
        let kept = keptShape(reduced)
        let output = Storage(count: kept.count)
        Reduction.reduce(.sum, storage, shape: shape.dimensions, axes: reduced, into: output)
        if scale != 1 { Elementwise.scale(output, by: scale, into: output) }
        let input = shape
        return .result(keepDims ? kept : shape.removing(reduced), output, from: [self]) { gradient, sink in
            let share = Storage(count: gradient.count)
            Elementwise.scale(gradient, by: scale, into: share)
            sink.accumulate(0, count: input.count) { into, beta in
                StridedCopy.copy(
                    .init(share, shape: kept.dimensions), to: .init(into, shape: input.dimensions), extents: input.dimensions,
                    accumulate: beta == 1)
            }
        }
    }

    /// The non-negative indices of `axes`. Precondition: each exists and is named once.
    func reducedAxes(_ axes: [Int]?, _ op: StaticString) -> Set<Int> {
        guard let axes else { return Set(0..<shape.rank) }
        let result = Set(axes.map { shape.axis($0, op) })
        precondition(result.count == axes.count, "\(op): an axis is named twice in \(axes)")
        return result
    }

    /// The shape with the reduced axes at extent 1.
    func keptShape(_ axes: Set<Int>) -> Shape {
        Shape(shape.dimensions.enumerated().map { axes.contains($0.offset) ? 1 : $0.element })
    }
}

extension Shape {
    /// The shape without these axes.
    func removing(_ axes: Set<Int>) -> Shape {
        Shape(dimensions.enumerated().filter { !axes.contains($0.offset) }.map(\.element))
    }
}
