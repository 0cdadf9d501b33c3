import Autograd
import Kernels

/// A block's norm: RMSNorm (Zhang and Sennrich 2019), or LayerNorm where there is a bias (Ba et al. 2016).
struct Norm: Sendable {
    let gain: Tensor
    /// LayerNorm's, nil for RMSNorm.
    let bias: Tensor?
    let epsilon: Float

    /// The norm called `name`, such as "model.norm".
    init(
        _ config: ModelConfig, _ name: String, take: (String) throws(ParametersError) -> Tensor
    ) throws(ParametersError) {
        gain = try take(name + ".weight")
        bias = config.hasLayerNorm == true ? try take(name + ".bias") : nil
        epsilon = Float(config.normEpsilon)
    }

    private init(_ other: Norm, weights rest: inout ArraySlice<Tensor>) {
        gain = rest.removeFirst()
        bias = other.bias.map { _ in rest.removeFirst() }
        epsilon = other.epsilon
    }

    var weights: [Tensor] { [gain] + (bias.map { [$0] } ?? []) }

    /// The same norm over other weights, taken off the front of `rest`.
    func with(weights rest: inout ArraySlice<Tensor>) -> Norm { Norm(self, weights: &rest) }

    /// Rows of x [rows, hidden], normed.
    func callAsFunction(_ x: Tensor) -> Tensor {
        guard let bias else { return x.rmsNorm(weight: gain, epsilon: epsilon) }
        return x.layerNorm(weight: gain, bias: bias, epsilon: epsilon)
    }

    /// Normed rows times `weights`, side by side; RMSNorm's rows never exist whole.
    func linear(_ x: Tensor, _ weights: [Tensor], _ precision: ComputePrecision) -> Tensor {
        guard bias == nil else { return self(x).linear(weights, precision: precision) }
        return x.normLinear(gain: gain, weights: weights, epsilon: epsilon, precision: precision)
    }
}
