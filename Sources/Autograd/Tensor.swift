import Kernels

/// A tensor: an immutable, dense, row-major array of Float32.
///
/// A tensor computed from a ``variable(_:)`` keeps its computation graph, along which `loss.gradients()` runs backward. Tensors
/// made from plain values are constants and cost nothing in the backward pass.
public struct Tensor: Sendable {
    /// Dimensions, outermost first.
    public let shape: Shape
    /// The elements, exactly `shape.count` of them.
    public let storage: Storage
    /// The node that computed the tensor; nil for a constant.
    let node: Node?

    init(shape: Shape, storage: Storage, node: Node?) {
        precondition(storage.count == shape.count, "Tensor: \(storage.count) elements for shape \(shape)")
        self.shape = shape
        self.storage = storage
        self.node = node
    }

    /// A constant over existing storage.
    public init(shape: Shape, storage: Storage) { self.init(shape: shape, storage: storage, node: nil) }

    /// A constant with these values.
    public init(_ values: [Float], shape: Shape) { self.init(shape: shape, storage: Storage(copying: values)) }

    /// A constant with every element equal to `value`.
    public init(repeating value: Float, shape: Shape) {
        self.init(shape: shape, storage: Storage(repeating: value, count: shape.count))
    }

    /// A constant scalar.
    public init(_ value: Float) { self.init([value], shape: []) }

    /// A variable with the values of `tensor`: a leaf of the computation graph, for which gradients are computed.
    public static func variable(_ tensor: Tensor) -> Tensor {
        Tensor(shape: tensor.shape, storage: tensor.storage, node: Node())
    }

    /// A constant with the same values, detached from the computation graph.
    public var detached: Tensor { Tensor(shape: shape, storage: storage) }

    /// Whether the tensor depends on a variable.
    public var requiresGradient: Bool { node != nil }

    /// The values, copied out row-major.
    public var values: [Float] { storage.array() }

    /// The value of a tensor with one element.
    public var scalar: Float {
        precondition(shape.count == 1, "scalar: \(shape) has \(shape.count) elements")
        return storage[0]
    }

    /// The result of an op over `inputs`; the pullback is kept only where an input needs it.
    static func result(
        _ shape: Shape, _ storage: Storage, from inputs: [Tensor], op: StaticString = #function,
        pullback: @escaping @Sendable (Storage, inout GradientSink) -> Void
    ) -> Tensor {
        OpProfile.mark(op)
        let nodes = inputs.map(\.node)
        guard nodes.contains(where: { $0 != nil }) else { return Tensor(shape: shape, storage: storage) }
        return Tensor(shape: shape, storage: storage, node: Node(op, inputs: nodes, pullback: pullback))
    }
}
