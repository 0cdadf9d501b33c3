import Autograd
import Kernels

/// The kinds of attention, with their weights held as `Value`: the table that gives each its training and its serving form.
enum AttentionKind<Value> {
    case groupedQuery(GroupedQueryWeights<Value>)
    case latent(LatentWeights<Value>)

    init<Failure>(_ config: ModelConfig, layer: Int, _ bind: WeightBinding<Value, Failure>) throws(Failure) {
        guard let shape = config.latent else {
            self = .groupedQuery(try GroupedQueryWeights(config, layer: layer, bind))
            return
        }
        self = .latent(try LatentWeights(config, shape, layer: layer, bind))
    }
}

extension AttentionKind where Value == Tensor {
    /// The training form.
    func attention(_ config: ModelConfig, layer: Int, rotary: RotaryTable?) -> any Attention {
        switch self {
        case .groupedQuery(let weights): GroupedQueryAttention(weights, config, layer: layer, rotary: rotary)
        case .latent(let weights): LatentAttention(weights, config, layer: layer, rotary: rotary)
        }
    }
}

extension AttentionKind where Value == Weight {
    /// The serving form.
    func servingAttention(_ config: ModelConfig, layer: Int, rotary: RotaryTable?) -> any ServingAttention {
        switch self {
        case .groupedQuery(let weights): ServingGroupedQueryAttention(weights, config, layer: layer, rotary: rotary)
        case .latent(let weights): ServingLatentAttention(weights, config, layer: layer, rotary: rotary)
        }
    }
}

/// The training form of a layer's attention: the projections of a block's normed input, and how positions attend to each other.
protocol Attention: Sendable {
    /// Weights whose outputs stand side by side in a row that ``attended(_:keysAndValues:_:_:)`` takes.
    var projections: [Tensor] { get }
    /// Weights of the keys and values that this and later layers read; empty where no other layer does.
    var sharedProjections: [Tensor] { get }
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
    func projected(_ attended: Tensor, residual: Tensor?, precision: ComputePrecision) -> Tensor {
        let result = attended.linear(output, residual: residual, precision: precision)
        return outputBias.map { result + $0 } ?? result
    }
}

/// The serving form of a layer's attention: packed weights, keys and values in a cache.
protocol ServingAttention: Sendable {
    /// Bytes of its packed weights.
    var weightBytes: Int { get }
    /// Width of the rows that ``attend(_:_:_:layer:cache:)`` gives.
    var outputWidth: Int { get }
    /// The element type of the weights that normed rows are multiplied with.
    var elementType: ElementType { get }
    /// Normed rows of the hidden size, one a token, at `positions` to [tokens, outputWidth], over the tokens in `cache`.
    func attend(_ x: PackedRows, _ step: RaggedBatch, _ positions: [Int32], layer: Int, cache: inout some KVCache) -> Storage
    /// The output projection.
    var output: PackedLinear { get }
    /// Its bias; nil for none.
    var outputBias: Storage? { get }
}

extension ServingAttention {
    /// Adds the output projection of `attended` [rows, outputWidth] to x [rows, hidden].
    func project(_ attended: Storage, rows: Int, into x: Storage) {
        output.run(attended, rows: rows, into: x, .add)
        if let outputBias { RowWise.add(outputBias, to: x, rows: rows) }
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
