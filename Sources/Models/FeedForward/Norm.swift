import Autograd
import Kernels

/// A norm: RMSNorm (Zhang and Sennrich 2019), or LayerNorm where it has a bias (Ba et al. 2016); its weights held as `Value`.
///
/// Over tensors it is the training form, over storages the serving form.
struct Norm<Value> {
    let gain: Value
    /// LayerNorm's bias; nil for RMSNorm.
    let bias: Value?
    let epsilon: Float

    init<Failure>(_ config: ModelConfig, _ name: WeightName, _ bind: WeightBinding<Value, Failure>) throws(Failure) {
        gain = try bind(name, [config.hiddenSize])
        bias = config.hasLayerNorm == true ? try bind(name.bias, [config.hiddenSize]) : nil
        epsilon = Float(config.normEpsilon)
    }
}

extension Norm: Sendable where Value: Sendable {}

extension Norm where Value == Tensor {
    /// Norms the rows of x [rows, hidden].
    func callAsFunction(_ x: Tensor) -> Tensor {
        guard let bias else { return x.rmsNorm(weight: gain, epsilon: epsilon) }
        return x.layerNorm(weight: gain, bias: bias, epsilon: epsilon)
    }

    /// Normed rows times `weights`, concatenated; RMSNorm's rows are never materialised as a whole.
    func linear(_ x: Tensor, _ weights: [Tensor], _ precision: ComputePrecision) -> Tensor {
        guard bias == nil else { return self(x).linear(weights, precision: precision) }
        return x.normLinear(gain: gain, weights: weights, epsilon: epsilon, precision: precision)
    }
}

extension Norm where Value == Storage {
    /// The serving form of a norm over stored weights.
    init(_ norm: Norm<Weight>) {
        (gain, bias, epsilon) = (norm.gain.float32(), norm.bias?.float32(), norm.epsilon)
    }

    /// Norms the rows of x [rows, hidden], packed for weights of `elementType`.
    func callAsFunction(_ x: Storage, rows: Int, for elementType: ElementType) -> PackedRows {
        guard let bias else { return Normalization.rmsNorm(x: x, weight: gain, rows: rows, epsilon: epsilon, for: elementType) }
        return Normalization.layerNorm(x: x, weight: gain, bias: bias, rows: rows, epsilon: epsilon, for: elementType)
    }
}
