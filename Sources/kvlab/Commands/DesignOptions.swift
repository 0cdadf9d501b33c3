import ArgumentParser
import Kernels
import Models

/// What the conversions to another attention are told.
struct DesignOptions: ParsableArguments {
    @Option(help: "mla: elements of the latent that a token's keys and values are made from.")
    var rank: Int?

    @Option(help: "mla: elements of a head that stay rotated, every n-th RoPE plane; half of those RoPE turns unless said.")
    var ropeHeadDim: Int?

    @Option(help: "cross-layer: layers that share one set of keys and values.")
    var shareLayers: Int?

    @Option(help: "yoco, hybrid: tokens that a windowed layer sees.")
    var window: Int?

    @Option(help: "yoco, hybrid: first tokens that it sees as well (attention sinks).")
    var sinks: Int?

    @Option(help: "hybrid: layers to one that sees everything; 0 for none.")
    var fullEvery: Int?

    @Flag(help: "Leave the rewritten weights as they are, not refined over the calibration text.")
    var noRefinement = false

    private var given: [(name: String, value: Int)] {
        [
            ("--rank", rank), ("--rope-head-dim", ropeHeadDim), ("--share-layers", shareLayers), ("--window", window),
            ("--sinks", sinks), ("--full-every", fullEvery),
        ].compactMap { name, value in value.map { (name, $0) } }
    }

    /// Throws where an option is given to a method that has none of them.
    func refuseAll(method: String) throws {
        if let (name, _) = given.first { throw ValidationError("\(name) means nothing for '\(method)'") }
        if noRefinement { throw ValidationError("--no-refinement means nothing for '\(method)': use 'svd'") }
    }

    /// Throws where `method` lacks an option, or has one that means nothing to it, or one that no model allows.
    func validate(method: String, hasBudget: Bool) throws {
        let (required, optional): ([String], [String]) =
            switch method {
            case LatentDesign.name: (hasBudget ? [] : ["--rank"], ["--rope-head-dim"])
            case CrossLayerAttention.name: (["--share-layers"], [])
            case YOCOAttention.name: (["--window"], ["--sinks"])
            default: (["--window", "--full-every"], ["--sinks"])
            }
        for (name, value) in given {
            guard (required + optional).contains(name) else {
                throw ValidationError("\(name) means nothing for '\(method)'" + (hasBudget ? " with a budget" : ""))
            }
            let least = ["--sinks", "--full-every", "--rope-head-dim"].contains(name) ? 0 : name == "--share-layers" ? 2 : 1
            guard value >= least else { throw ValidationError("\(name) is \(value), expected at least \(least)") }
        }
        let names = given.map(\.name)
        if let missing = required.first(where: { !names.contains($0) }) {
            throw ValidationError("'\(method)' needs \(missing)" + (missing == "--rank" ? " or --budget-bytes-per-token" : ""))
        }
    }

    /// The design for a model of `config`; a budget of cache bytes per token says the latent's rank.
    func design(
        _ method: String, for config: ModelConfig, bytesPerToken: Int?, encoding: KVEncoding
    ) throws -> any AttentionDesign {
        switch method {
        case LatentDesign.name:
            let turned = config.rotaryDim(0)
            let rope = ropeHeadDim ?? (turned % 4 == 0 ? turned / 2 : turned)
            let elements = encoding.widestVector(bytes: (bytesPerToken ?? 0) / config.layers)
            guard bytesPerToken == nil || elements > rope else {
                let least = config.layers * encoding.tokenBytes(kvHeads: 1, keyDim: rope + 1, valueDim: nil)
                throw ValidationError(
                    "a budget of \(bytesPerToken ?? 0) bytes per token is impossible: a latent of one takes \(least)")
            }
            return LatentDesign(
                shape: LatentShape(rank: rank ?? elements - rope, ropeHeadDim: rope, valueHeadDim: config.headDim[0]))
        case CrossLayerAttention.name: return CrossLayerAttention(share: shareLayers ?? 0)
        case YOCOAttention.name: return YOCOAttention(window: window ?? 0, sinks: sinks ?? 0)
        default: return HybridAttention(window: window ?? 0, fullEvery: fullEvery ?? 0, sinks: sinks ?? 0)
        }
    }
}
