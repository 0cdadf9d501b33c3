import Autograd
import Kernels

/// The function between the two matrices of a feed-forward layer without a gate; raw values are Hugging Face's names.
public enum Activation: String, Codable, Sendable, CaseIterable {
    /// x·Φ(x) (Hendrycks and Gimpel 2016), exact.
    case gelu
    /// Its tanh approximation, as GPT-2 has it.
    case geluTanh = "gelu_new"
    /// max(x, 0).
    case relu

    /// The kernel that computes it.
    public var kernel: Elementwise.Unary {
        switch self {
        case .gelu: .geluErf
        case .geluTanh: .gelu
        case .relu: .relu
        }
    }
}

/// A block's feed-forward layer: SwiGLU (Shazeer 2020), or two matrices with an activation between them.
struct FeedForward: Sendable {
    /// SwiGLU's, nil where an activation stands in its place.
    let gate: Tensor?
    let up: Tensor
    let down: Tensor
    let activation: Activation?
    /// Of gate and up, and of down, where the model has biases.
    private let upBiases: [Tensor]
    private let downBias: Tensor?

    /// The layer whose weights are named behind `prefix`, such as "model.layers.0.mlp.".
    init(
        _ config: ModelConfig, _ prefix: String, take: (String) throws(ParametersError) -> Tensor
    ) throws(ParametersError) {
        activation = config.activation
        gate = activation == nil ? try take(prefix + "gate_proj.weight") : nil
        up = try take(prefix + "up_proj.weight")
        down = try take(prefix + "down_proj.weight")
        let hasBias = config.hasFeedForwardBias == true
        var biases: [Tensor] = []
        if hasBias {
            for name in activation == nil ? ["gate_proj", "up_proj"] : ["up_proj"] {
                biases.append(try take(prefix + name + ".bias"))
            }
        }
        upBiases = biases
        downBias = hasBias ? try take(prefix + "down_proj.bias") : nil
    }

    private init(_ other: FeedForward, weights rest: inout ArraySlice<Tensor>) {
        activation = other.activation
        gate = other.gate.map { _ in rest.removeFirst() }
        up = rest.removeFirst()
        down = rest.removeFirst()
        upBiases = other.upBiases.map { _ in rest.removeFirst() }
        downBias = other.downBias.map { _ in rest.removeFirst() }
    }

    var weights: [Tensor] { inputs + [down] + upBiases + (downBias.map { [$0] } ?? []) }

    /// The same layer over other weights, taken off the front of `rest`.
    func with(weights rest: inout ArraySlice<Tensor>) -> FeedForward { FeedForward(self, weights: &rest) }

    private var inputs: [Tensor] { (gate.map { [$0] } ?? []) + [up] }

    /// The layer over the normed rows of x [rows, hidden], added to `residual` where there is one.
    func callAsFunction(_ x: Tensor, norm: Norm, residual: Tensor? = nil, _ precision: ComputePrecision = .fp32) -> Tensor {
        var hidden = norm.linear(x, inputs, precision)
        if !upBiases.isEmpty { hidden = hidden + (upBiases.count == 1 ? upBiases[0] : .concat(upBiases)) }
        let output =
            switch activation {
            case nil: hidden.swiGLULinear(down, residual: residual, precision: precision)
            case .gelu: hidden.geluErf().linear([down], residual: residual, precision: precision)
            case .geluTanh: hidden.gelu().linear([down], residual: residual, precision: precision)
            case .relu: hidden.relu().linear([down], residual: residual, precision: precision)
            }
        return downBias.map { output + $0 } ?? output
    }
}
