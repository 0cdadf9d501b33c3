import Kernels

extension Tensor {
    /// `a` where the condition is not 0, else `b`; all three broadcast to one shape by NumPy's rules.
    ///
    /// Neither the condition nor the side not chosen gets a gradient, so that a NaN there does not propagate.
    public static func `where`(_ condition: Tensor, _ a: Tensor, _ b: Tensor) -> Tensor {
        guard let sides = Shape.broadcast(a.shape, b.shape), let shape = Shape.broadcast(condition.shape, sides) else {
            preconditionFailure("where: shapes \(condition.shape), \(a.shape) and \(b.shape) do not broadcast")
        }
        let mask = condition.detached.broadcast(to: shape)
        let output = Storage(count: shape.count)
        Elementwise.select(
            mask, a.detached.broadcast(to: shape, scalars: true), b.detached.broadcast(to: shape, scalars: true), into: output)
        let (aShape, bShape) = (a.shape, b.shape)
        return .result(shape, output, from: [a, b]) { gradient, sink in
            let zero = Storage(repeating: 0, count: 1)
            for (index, target) in [aShape, bShape].enumerated() where sink.needs(index) {
                let share = Storage(count: gradient.count)
                Elementwise.select(mask, index == 0 ? gradient : zero, index == 0 ? zero : gradient, into: share)
                sink.addReduced(index, share, from: shape, to: target)
            }
        }
    }

    /// `a` where the condition holds, else `b`; the condition's values are row-major in `shape`.
    public static func `where`(_ condition: [Bool], shape: Shape, _ a: Tensor, _ b: Tensor) -> Tensor {
        `where`(Tensor(condition.map { $0 ? 1 : 0 }, shape: shape), a, b)
    }

    /// The elements broadcast to `target`; with `scalars`, a single element is left as it is for kernels that broadcast it.
    private func broadcast(to target: Shape, scalars: Bool = false) -> Storage {
        if shape == target || (scalars && shape.count == 1) { return storage }
        let output = Storage(count: target.count)
        StridedCopy.copy(
            .init(storage, shape: shape.dimensions, rank: target.rank), to: .init(output, shape: target.dimensions),
            extents: target.dimensions)
        return output
    }
}
