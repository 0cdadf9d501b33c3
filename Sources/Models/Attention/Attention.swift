import Autograd
import Kernels

/// A layer's attention: what a block's normed input is projected to, and how positions then look at each other.
///
/// Its variants: ``GroupedQueryAttention`` (MHA, GQA, MQA; windowed; reading another layer's keys and values) and
/// ``LatentAttention``. `DecoderLM.attention(config:layer:rotary:take:)` is the table that chooses.
protocol Attention: Sendable {
    /// Weights whose outputs stand side by side in a row that ``attended(_:keysAndValues:_:_:)`` takes.
    var projections: [Tensor] { get }
    /// Weights of the keys and values that this and later layers read; empty where no other layer does.
    var sharedProjections: [Tensor] { get }
    /// All weights, in the order that ``with(weights:)`` takes them.
    var weights: [Tensor] { get }
    /// The same attention over other weights, taken off the front of `rest`.
    func with(weights rest: inout ArraySlice<Tensor>) -> Self

    /// The outputs of ``sharedProjections`` made ready for the layers that read them.
    func preparedShared(_ projected: Tensor) -> Tensor
    /// Projections [batch·seq, …], with `keysAndValues` where these are shared, to [batch·seq, heads·valueDim].
    func attended(_ projected: Tensor, keysAndValues: Tensor?, _ input: ModelInput, _ precision: ComputePrecision) -> Tensor
    /// The output projection [hidden, heads·valueDim].
    var output: Tensor { get }
    /// Its bias [hidden]; nil for none.
    var outputBias: Tensor? { get }
}

extension Attention {
    /// attended [tokens, heads·valueDim] through the output projection, onto `residual`.
    func projected(_ attended: Tensor, residual: Tensor? = nil, precision: ComputePrecision = .fp32) -> Tensor {
        let result =
            if let residual {
                attended.linear(output, residual: residual, precision: precision)
            } else {
                attended.linear(output, precision: precision)
            }
        return outputBias.map { result + $0 } ?? result
    }
}

extension DecoderLM {
    /// The attention that `config` gives `layer`, its weights by their names behind "self_attn.".
    static func attention(
        config: ModelConfig, layer: Int, rotary: RotaryTable?, take: (String) throws(ParametersError) -> Tensor
    ) throws(ParametersError) -> any Attention {
        if config.latent != nil {
            return try LatentAttention(config: config, layer: layer, rotary: rotary, take: take)
        }
        return try GroupedQueryAttention(config: config, layer: layer, rotary: rotary, take: take)
    }
}

extension ModelConfig {
    /// Elements of a head that RoPE turns, the first ones; 0 where positions are learned or there are none.
    public func rotaryDim(_ layer: Int) -> Int { latent?.ropeHeadDim ?? rotaryWidth ?? headDim[layer] }

    /// The rotary table of `layer`, made once for each width; nil where nothing is turned.
    public func rotary(_ layer: Int, among tables: inout [Int: RotaryTable]) -> RotaryTable? {
        let width = rotaryDim(layer)
        guard width > 0 else { return nil }
        let table = tables[width] ?? rotaryTable(headDim: width)
        tables[width] = table
        return table
    }
}
