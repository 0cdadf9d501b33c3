import Autograd
import Kernels

/// A model's blocks: all held, or each made when it is asked for, over weights that are widened for as long as it is used.
struct BlockList: Sendable {
    private enum Content: Sendable {
        case held([Block])
        case made(count: Int, @Sendable (Int) -> Block)
    }

    private let content: Content

    /// The blocks of `config` over tensors that `take` gives by their names.
    init(
        _ config: ModelConfig, _ rotaries: inout [Int: RotaryTable], take: (String) throws(ParametersError) -> Tensor
    ) throws(ParametersError) {
        var blocks: [Block] = []
        for layer in 0..<config.layers {
            blocks.append(try Block(config, layer: layer, rotary: config.rotary(layer, among: &rotaries), take: take))
        }
        content = .held(blocks)
    }

    /// The blocks of `config` over `parameters`, which fit it; one at a time is widened to Float32.
    init(_ config: ModelConfig, _ rotaries: inout [Int: RotaryTable], widening parameters: Parameters) {
        let tables = (0..<config.layers).map { config.rotary($0, among: &rotaries) }
        content = .made(count: config.layers) { layer in
            let block = try? Block(config, layer: layer, rotary: tables[layer]) { name throws(ParametersError) in
                guard let weight = parameters[name] else { throw .missing(name: name, shape: []) }
                return Tensor(shape: Shape(weight.shape), storage: weight.float32())
            }
            guard let block else { preconditionFailure("BlockList: parameters that do not fit their configuration") }
            return block
        }
    }

    var indices: Range<Int> {
        switch content {
        case .held(let blocks): blocks.indices
        case .made(let count, _): 0..<count
        }
    }

    subscript(layer: Int) -> Block {
        switch content {
        case .held(let blocks): blocks[layer]
        case .made(_, let make): make(layer)
        }
    }
}

extension Block {
    /// Block `layer` over the tensors that `take` gives by their names.
    init(
        _ config: ModelConfig, layer: Int, rotary: RotaryTable?, take: (String) throws(ParametersError) -> Tensor
    ) throws(ParametersError) {
        let prefix = "model.layers.\(layer)."
        attention = try DecoderLM.attention(config: config, layer: layer, rotary: rotary) {
            (name: String) throws(ParametersError) in try take(prefix + "self_attn." + name)
        }
        attentionNorm = try Norm(config, prefix + "input_layernorm", take: take)
        feedForwardNorm = try Norm(config, prefix + "post_attention_layernorm", take: take)
        feedForward = try FeedForward(config, prefix + "mlp.", take: take)
        isParallel = config.hasParallelResidual == true
    }
}
