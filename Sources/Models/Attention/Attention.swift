import Autograd
import Kernels

/// The kinds of attention, with their weights held as `Value`; maps each to its training and its serving form.
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

/// The table of designs.
public enum AttentionDesigns {
    /// Every design's type.
    public static let all: [any AttentionDesign.Type] = [
        LatentDesign.self, CrossLayerAttention.self, YOCOAttention.self, HybridAttention.self,
    ]

    /// Their names.
    public static var names: [String] { all.map { $0.name } }

    /// The design called `name`, or nil.
    public static func named(_ name: String) -> (any AttentionDesign.Type)? { all.first { $0.name == name } }
}

/// The shape of an attention with weights of its own: caches, estimates and names follow from it.
public protocol AttentionShape: Sendable {
    /// The attention as a part of a configuration, in words.
    var part: String { get }
    /// Its short name in tables.
    var label: String { get }
    /// Elements of a head that RoPE rotates; 0 where positions are learned.
    var rotaryDim: Int { get }
    /// The first rotated element of a query over the cache.
    var rotaryStart: Int { get }
    /// Width of a value's head.
    var valueHeadDim: Int { get }
    /// The cache geometry of a layer.
    func geometry(_ encoding: KVEncoding) -> KVGeometry
    /// Float32 values that attention keeps of each token for the backward pass, beside the log-sum-exp.
    ///
    /// - Parameters:
    ///   - forms: the forms in which keys and values are read, 1 or 2.
    ///   - isStored: whether they are those of a compressed cache.
    func activationsPerToken(heads: Int, headDim: Int, forms: Int, isStored: Bool) -> Int
    /// Throws where it does not fit the sizes or parts of `config`.
    func validate(_ config: ModelConfig) throws(ModelConfigError)
}

/// The training form of a layer's attention: projections of a block's normed input, and attention between positions.
protocol Attention: Sendable {
    /// The input projections, whose outputs ``attended(_:keysAndValues:_:_:)`` takes concatenated in a row.
    var projections: [Tensor] { get }
    /// The projections of the keys and values shared with later layers; empty where none are shared.
    var sharedProjections: [Tensor] { get }
    /// Prepares the outputs of ``sharedProjections`` for the layers that share them.
    func preparedShared(_ projected: Tensor) -> Tensor
    /// Attends from projections [batch·seq, …], with `keysAndValues` where these are shared, to [batch·seq, heads·valueDim].
    func attended(_ projected: Tensor, keysAndValues: Tensor?, _ input: ModelInput, _ precision: ComputePrecision) -> Tensor
    /// The output projection [hidden, heads·valueDim].
    var output: Tensor { get }
    /// The output projection's bias [hidden]; nil for none.
    var outputBias: Tensor? { get }
}

extension Attention {
    /// The output projection of `attended` [tokens, heads·valueDim], added to `residual`.
    func projected(_ attended: Tensor, residual: Tensor?, precision: ComputePrecision) -> Tensor {
        let result = attended.linear(output, residual: residual, precision: precision)
        return outputBias.map { result + $0 } ?? result
    }
}

/// The serving form of a layer's attention: packed weights, and keys and values in a cache.
protocol ServingAttention: Sendable {
    /// Bytes of its packed weights.
    var weightBytes: Int { get }
    /// Width of the output rows of ``attend(_:_:_:layer:cache:)``.
    var outputWidth: Int { get }
    /// The element type of the input projections.
    var elementType: ElementType { get }
    /// Attends from normed rows of the hidden size, one a token, at `positions`, to the tokens in `cache`: [tokens, outputWidth].
    func attend(_ x: PackedRows, _ step: RaggedBatch, _ positions: [Int32], layer: Int, cache: inout some KVCache) -> Storage
    /// The output projection.
    var output: PackedLinear { get }
    /// The output projection's bias; nil for none.
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
    /// Number of first elements of a head that RoPE rotates; 0 where positions are learned.
    public func rotaryDim(_ layer: Int) -> Int { attentionShape?.rotaryDim ?? rotaryWidth ?? headDim[layer] }

    /// The rotary table of `layer`, made once for each width; nil where no element is rotated.
    public func rotary(_ layer: Int, among tables: inout [Int: RotaryTable]) -> RotaryTable? {
        let width = rotaryDim(layer)
        guard width > 0 else { return nil }
        let table = tables[width] ?? rotaryTable(headDim: width)
        tables[width] = table
        return table
    }
}
