import Autograd
import Kernels

/// The weights of a block's feed-forward layer, each held as `Value`.
struct FeedForwardWeights<Value> {
    /// Gate and up projection [width, hidden]; up alone where an activation replaces the gate.
    let inputs: [Value]
    /// The down projection [hidden, width].
    let down: Value
    /// Biases of ``inputs``; empty where the model has none.
    let inputBiases: [Value]
    let downBias: Value?

    init<Failure>(_ config: ModelConfig, layer: Int, _ bind: WeightBinding<Value, Failure>) throws(Failure) {
        let (width, hidden) = (config.feedForwardSize, config.hiddenSize)
        let names = (config.activation == nil ? [.gate, .up] : [.up]).map { WeightName($0, layer: layer) }
        let down = WeightName(.down, layer: layer)
        let hasBias = config.hasFeedForwardBias == true
        inputs = try names.map { (name) throws(Failure) in try bind(name, [width, hidden]) }
        self.down = try bind(down, [hidden, width])
        inputBiases = hasBias ? try names.map { (name) throws(Failure) in try bind(name.bias, [width]) } : []
        downBias = hasBias ? try bind(down.bias, [hidden]) : nil
    }
}

extension FeedForwardWeights: Sendable where Value: Sendable {}

/// A block's feed-forward layer: SwiGLU (Shazeer 2020), or two projections with an activation between them.
struct FeedForward: Sendable {
    let weights: FeedForwardWeights<Tensor>
    let activation: Activation?

    /// Runs the layer over the normed rows of x [rows, hidden] and adds `residual`, if any.
    func callAsFunction(
        _ x: Tensor, norm: Norm<Tensor>, residual: Tensor? = nil, _ precision: ComputePrecision = .fp32
    ) -> Tensor {
        var hidden = norm.linear(x, weights.inputs, precision)
        if let bias = weights.inputBiases.joined { hidden = hidden + bias }
        let down = weights.down
        let output =
            switch activation {
            case nil: hidden.swiGLULinear(down, residual: residual, precision: precision)
            case .gelu: hidden.geluErf().linear([down], residual: residual, precision: precision)
            case .geluTanh: hidden.gelu().linear([down], residual: residual, precision: precision)
            case .relu: hidden.relu().linear([down], residual: residual, precision: precision)
            }
        return weights.downBias.map { output + $0 } ?? output
    }
}
