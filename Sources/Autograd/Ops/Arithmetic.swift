import Kernels

/// Elementwise arithmetic. Shapes broadcast by NumPy's rules: aligned to the right, an extent of 1 repeats. The gradient of
/// an operand is summed over the axes it was repeated along.
extension Tensor {
    /// The elementwise sum; both operands get the result's gradient.
    ///
    /// Precondition of this and the other operators of two tensors: the shapes broadcast.
    public static func + (a: Tensor, b: Tensor) -> Tensor {
        // Pullbacks capture shapes and storages, never tensors: nodes are linked by the graph alone.
        let (aShape, bShape) = (a.shape, b.shape)
        return binary(.add, a, b) { gradient, shape, sink in
            sink.addReduced(0, gradient, from: shape, to: aShape)
            sink.addReduced(1, gradient, from: shape, to: bShape)
        }
    }

    /// The elementwise difference; `b` gets the result's gradient negated.
    public static func - (a: Tensor, b: Tensor) -> Tensor {
        let (aShape, bShape) = (a.shape, b.shape)
        return binary(.subtract, a, b) { gradient, shape, sink in
            sink.addReduced(0, gradient, from: shape, to: aShape)
            guard sink.needs(1) else { return }
            let negated = Storage(count: gradient.count)
            Elementwise.scale(gradient, by: -1, into: negated)
            sink.addReduced(1, negated, from: shape, to: bShape)
        }
    }

    /// The elementwise product.
    public static func * (a: Tensor, b: Tensor) -> Tensor {
        let (x, y) = (a.detached, b.detached)
        return binary(.multiply, a, b) { gradient, shape, sink in
            let dy = Tensor(shape: shape, storage: gradient)
            if sink.needs(0) { sink.addReduced(0, (dy * y).storage, from: shape, to: x.shape) }
            if sink.needs(1) { sink.addReduced(1, (dy * x).storage, from: shape, to: y.shape) }
        }
    }

    /// The elementwise quotient; d(a/b) = da/b − (a/b)·db/b.
    public static func / (a: Tensor, b: Tensor) -> Tensor {
        let (x, y) = (a.detached, b.detached)
        return binary(.divide, a, b) { gradient, shape, sink in
            let share = Tensor(shape: shape, storage: gradient) / y
            if sink.needs(1) { sink.addReduced(1, (-(share * (x / y))).storage, from: shape, to: y.shape) }
            sink.addReduced(0, share.storage, from: shape, to: x.shape)
        }
    }

    /// Every element negated.
    public static prefix func - (a: Tensor) -> Tensor { a.scaled(by: -1) }

    /// `b` added to every element; `b` is a constant without a gradient, here and below.
    public static func + (a: Tensor, b: Float) -> Tensor { a + Tensor(b) }
    /// `a` added to every element of `b`.
    public static func + (a: Float, b: Tensor) -> Tensor { Tensor(a) + b }
    /// `b` subtracted from every element.
    public static func - (a: Tensor, b: Float) -> Tensor { a - Tensor(b) }
    /// Every element of `b` subtracted from `a`.
    public static func - (a: Float, b: Tensor) -> Tensor { Tensor(a) - b }
    /// Every element times `b`, in one pass without a broadcast.
    public static func * (a: Tensor, b: Float) -> Tensor { a.scaled(by: b) }
    /// Every element of `b` times `a`, in one pass without a broadcast.
    public static func * (a: Float, b: Tensor) -> Tensor { b.scaled(by: a) }
    /// Every element divided by `b`; a true division, not a product with the rounded 1/b.
    public static func / (a: Tensor, b: Float) -> Tensor { a / Tensor(b) }
    /// `a` divided by every element of `b`.
    public static func / (a: Float, b: Tensor) -> Tensor { Tensor(a) / b }

    private func scaled(by factor: Float) -> Tensor {
        let output = Storage(count: shape.count)
        Elementwise.scale(storage, by: factor, into: output)
        return .result(shape, output, from: [self]) { gradient, sink in
            let dx = Storage(count: gradient.count)
            Elementwise.scale(gradient, by: factor, into: dx)
            sink.add(0, dx)
        }
    }

    private static func binary(
        _ op: Elementwise.Binary, _ a: Tensor, _ b: Tensor,
        pullback: @escaping @Sendable (Storage, Shape, inout GradientSink) -> Void
    ) -> Tensor {
        guard let shape = Shape.broadcast(a.shape, b.shape) else {
            preconditionFailure("\(op): shapes \(a.shape) and \(b.shape) do not broadcast")
        }
        let output = Storage(count: shape.count)
        if a.shape == b.shape {
            Elementwise.binary(op, a.storage, b.storage, into: output)
        } else {
            Elementwise.binary(
                op, a.storage, shape: a.shape.dimensions, b.storage, shape: b.shape.dimensions, into: output,
                shape: shape.dimensions)
        }
        return .result(shape, output, from: [a, b]) { pullback($0, shape, &$1) }
    }
}

extension GradientSink {
    /// Adds `gradient` [from], summed over the axes along which an operand of shape `to` was repeated.
    mutating func addReduced(_ index: Int, _ gradient: Storage, from: Shape, to: Shape) {
        guard needs(index) else { return }
        guard from.count != to.count else { return add(index, gradient, owned: false) }
        let missing = from.rank - to.rank
        let axes = (0..<from.rank).filter { $0 < missing || to[$0 - missing] == 1 && from[$0] != 1 }
        let sum = Storage(count: to.count)
        Reduction.reduce(.sum, gradient, shape: from.dimensions, axes: Set(axes), into: sum)
        add(index, sum)
    }
}
