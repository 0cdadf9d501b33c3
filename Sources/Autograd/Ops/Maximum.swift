import Kernels

extension Tensor {
    /// The maximum over `axes` (negative ones count from the end; by default all), which vanish, or stay with extent 1 under
    /// `keepDims`; NaN if an element is NaN.
    ///
    /// Elements that tie for a maximum share its gradient equally. The maximum over nothing is a programming error.
    public func maximum(_ axes: [Int]? = nil, keepDims: Bool = false) -> Tensor {
        let reduced = reducedAxes(axes, "maximum")
        let kept = keptShape(reduced)
        let output = Storage(count: kept.count)
        Reduction.reduce(.maximum, storage, shape: shape.dimensions, axes: reduced, into: output)
        let (x, input) = (storage, shape)
        return .result(keepDims ? kept : shape.removing(reduced), output, from: [self]) { gradient, sink in
            let isMaximum = Storage(count: x.count)
            Elementwise.binary(
                .equal, x, shape: input.dimensions, output, shape: kept.dimensions, into: isMaximum, shape: input.dimensions)
            let ties = Storage(count: kept.count)
            Reduction.reduce(.sum, isMaximum, shape: input.dimensions, axes: reduced, into: ties)
            let share = Storage(count: kept.count)
            Elementwise.binary(.divide, gradient, ties, into: share)
            let dx = Storage(count: x.count)
            Elementwise.binary(
                .multiply, isMaximum, shape: input.dimensions, share, shape: kept.dimensions, into: dx, shape: input.dimensions)
            sink.add(0, dx)
        }
    }

    /// The maximum over one axis.
    public func maximum(_ axis: Int, keepDims: Bool = false) -> Tensor { maximum([axis], keepDims: keepDims) }
}
