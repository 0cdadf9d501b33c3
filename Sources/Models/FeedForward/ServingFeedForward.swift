import Kernels

/// The serving form of a feed-forward layer: packed weights, SwiGLU in one product where it has no biases.
struct ServingFeedForward: Sendable {
    private let up: PackedLinear
    private let down: PackedLinear
    private let width: Int
    private let activation: Activation?
    /// Concatenated biases of gate and up, where the model has them.
    private let upBias: Storage?
    private let downBias: Storage?

    init(_ weights: FeedForwardWeights<Weight>, activation: Activation?) {
        self.activation = activation
        width = weights.down.shape[1]
        let isGated = activation == nil && weights.inputBiases.isEmpty
        up = isGated ? PackedLinear(gate: weights.inputs[0], up: weights.inputs[1]) : PackedLinear(weights.inputs)
        down = PackedLinear([weights.down])
        (upBias, downBias) = (weights.inputBiases.joined, weights.downBias?.float32())
    }

    /// Bytes of the packed weights.
    var weightBytes: Int { up.byteCount + down.byteCount }

    /// The element type of the input projections.
    var elementType: ElementType { up.elementType }

    /// Adds the layer's output for normed rows of the hidden size to x [rows, hidden].
    func add(_ normed: PackedRows, into x: Storage) {
        down.run(hidden(normed), into: x, .add)
        if let downBias { RowWise.add(downBias, to: x, rows: normed.count) }
    }

    /// The input of the down projection.
    private func hidden(_ normed: PackedRows) -> PackedRows {
        if up.isSwiGLU { return up.run(normed, for: down) }
        let rows = normed.count
        let hidden = Storage(count: rows * up.outputs)
        up.run(normed, into: hidden)
        if let upBias { RowWise.add(upBias, to: hidden, rows: rows) }
        if let activation {
            Elementwise.unary(activation.kernel, hidden, into: hidden)
            return PackedRows(hidden, count: rows, width: width)
        }
        let gated = Storage(count: rows * width)
        SwiGLU.forward(gateUp: hidden, into: gated, rows: rows, width: width)
        return PackedRows(gated, count: rows, width: width)
    }
}
