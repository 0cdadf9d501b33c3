import Checkpoints
import Kernels
import Models

/// Turns a model of plain layers into another attention design: latent attention, layers that share keys and values, windows.
///
/// Weights are rewritten in one pass over the layers (``LatentConversion``, ``CrossLayerConversion``; a window changes none) and then
/// refined like those of the `learned` method. Both look at the model's activations over calibration text.
public struct ArchitectureConversion: Sendable {
    /// What the model becomes.
    public var design: any AttentionDesign
    /// Text to look at the parent's activations over.
    public var calibration: Calibration
    /// Whether the rewritten weights are refined against the parent's activations.
    public var refines: Bool
    /// Seed of the refinement's order of batches.
    public var seed: UInt64

    /// A conversion to `design`.
    public init(design: some AttentionDesign, calibration: Calibration, refines: Bool = true, seed: UInt64 = 0) {
        self.design = design
        self.calibration = calibration
        self.refines = refines
        self.seed = seed
    }

    /// The name `--method` and recipes use.
    public var name: String { type(of: design).name }

    /// The converted configuration and weights; `progress` is told what is being done.
    ///
    /// Throws ``ConversionError`` where the model has no such conversion, `ModelConfigError` where its sizes allow no such design,
    /// `ParametersError` where weights don't fit.
    public func convert(
        _ config: ModelConfig, _ parameters: Parameters, progress: (String) throws -> Void = { _ in }
    ) throws -> (ModelConfig, Parameters) {
        let child = try Self.childConfig(config, design)
        try parameters.validate(against: config)
        let parent = try DecoderLM(config: config, parameters: parameters)
        var converted = parameters
        if child.latent != nil {
            try progress("looking at the parent's activations")
            try convertToLatent(config, child, parent, &converted, progress)
        } else if child.keyValueSources != nil {
            try progress("looking at the parent's activations")
            try share(config, child, parent, &converted, progress)
        }
        if refines {
            let refinement = Refinement(
                parent: parent, calibration: calibration, steps: Refinement.steps(child, calibration), seed: seed)
            converted = try refinement.run(child, converted) { try progress("refined layer \($0) of \(config.layers)") }
        }
        return (child, converted)
    }

    /// What `config` becomes; throws the reason where it cannot.
    public static func childConfig(_ config: ModelConfig, _ design: any AttentionDesign) throws -> ModelConfig {
        if config.latent != nil { throw ConversionError.architecture("it has latent attention already") }
        if config.keyValueSources != nil { throw ConversionError.architecture("its layers share keys and values already") }
        if (0..<config.layers).contains(where: { config.window($0) != nil }) {
            throw ConversionError.architecture("its layers have windows already")
        }
        var child = config
        guard let latent = design as? LatentDesign else {
            try design.configure(&child)
            try child.validate()
            return child
        }
        guard let headDim = config.headDim.uniform else {
            throw ConversionError.architecture("'mla' needs heads of one width in all layers")
        }
        let (rope, turned) = (latent.shape.ropeHeadDim, config.rotaryDim(0))
        guard turned > 0 || rope == 0 else {
            throw ConversionError.architecture(
                "it has no rotary positions, so nothing of its keys is rotated; choose a rotated part of 0")
        }
        guard turned == 0 || rope >= 2 && rope % 2 == 0 && turned % rope == 0 else {
            throw ConversionError.architecture(
                "a rotated part of \(rope) elements is not every n-th plane of the \(turned) elements that RoPE turns in a head; "
                    + "choose one of \(evenDivisors(turned))")
        }
        if rope != turned, config.ropeScaling?.kind == .yarn {
            throw ConversionError.architecture("yarn's frequencies depend on all planes; choose a rotated part of \(turned)")
        }
        let most = (0..<config.layers).map { 2 * config.kvHeads[$0] * headDim }.min() ?? 0
        guard (1...most).contains(latent.shape.rank) else {
            throw ConversionError.architecture(
                "a latent of \(latent.shape.rank) elements for keys and values of \(most) together; choose 1 to \(most)")
        }
        child.headDim = .all(headDim + rope)
        child.kvHeads = config.heads
        (child.hasQueryKeyNorm, child.rotaryWidth) = (nil, nil)
        child.latent = LatentShape(rank: latent.shape.rank, ropeHeadDim: rope, valueHeadDim: headDim, hasNorm: false)
        try child.validate()
        return child
    }

    private static func evenDivisors(_ count: Int) -> String {
        (1...count).filter { count % $0 == 0 && $0 % 2 == 0 }.map(String.init).joined(separator: ", ")
    }

    private func convertToLatent(
        _ config: ModelConfig, _ child: ModelConfig, _ parent: DecoderLM, _ converted: inout Parameters,
        _ progress: (String) throws -> Void
    ) throws {
        guard let shape = child.latent else { return }
        let moments = calibration.moments(parent)
        let frequencies = config.ropeFrequencies(headDim: config.rotaryDim(0))
        let window = calibration.batches.map(\.seq).max() ?? 1
        for layer in 0..<config.layers {
            try progress("layer \(layer + 1) of \(config.layers)")
            let context = LayerContext(layer: layer, moment: moments[layer], seed: seed)
            let before = try AttentionWeights(config, converted, layer: layer).normsFolded(epsilon: config.normEpsilon, context)
            let conversion = LatentConversion(shape: shape, frequencies: frequencies, distances: window)
            let weights = try conversion.convert(before, context)
            AttentionWeights.remove(.key, .value, .queryNorm, .keyNorm, from: &converted, layer: layer)
            for (module, matrix) in weights { before.set(module, matrix, in: &converted, layer: layer) }
        }
    }

    private func share(
        _ config: ModelConfig, _ child: ModelConfig, _ parent: DecoderLM, _ converted: inout Parameters,
        _ progress: (String) throws -> Void
    ) throws {
        let sources = (0..<config.layers).map { child.keyValueSource($0) ?? $0 }
        let moments = calibration.crossMoments(parent, sources: sources)
        for source in Set(sources).sorted() {
            let members = sources.indices.filter { sources[$0] == source }
            guard members.count > 1 else { continue }
            try progress("layers \(members[0] + 1) to \(members[members.count - 1] + 1) of \(config.layers)")
            var layers: [AttentionWeights] = []
            for layer in members { layers.append(try AttentionWeights(config, converted, layer: layer)) }
            let shared = try CrossLayerConversion().convert(
                layers, moment: moments[source], crossMoments: members.map { moments[$0] }, seed: seed)
            for (layer, weights) in zip(members, shared) {
                weights.set(.query, weights.query, in: &converted, layer: layer)
                weights.set(.output, weights.output, in: &converted, layer: layer)
                if let gains = weights.gains.first {
                    converted[WeightName(.queryNorm, layer: layer)] = Weight(
                        shape: [gains.count], storage: Storage(copying: gains.map { Float($0) }))
                }
                if layer == source {
                    weights.set(.key, weights.key, in: &converted, layer: layer)
                    weights.set(.value, weights.value, in: &converted, layer: layer)
                } else {
                    AttentionWeights.remove(.key, .value, .keyNorm, from: &converted, layer: layer)
                }
            }
        }
    }
}

extension Checkpoint {
    /// The checkpoint with another attention, its lineage saying from what and how; training state is dropped.
    public func converted(
        by conversion: ArchitectureConversion, progress: (String) throws -> Void = { _ in }
    ) throws -> Checkpoint {
        let (childConfig, childParameters) = try conversion.convert(config, parameters, progress: progress)
        var child = self
        child.config = childConfig
        child.parameters = childParameters
        child.trainingState = nil
        child.lineage.parentHash = lineage.contentHash
        child.lineage.contentHash = nil
        child.lineage.figures = nil
        child.lineage.conversion =
            "\(conversion.name) on \(conversion.calibration.tokens) tokens, \(config.attentionLabel) to \(childConfig.attentionLabel)"
        child.lineage.toolVersion = Lineage.currentTool
        return child
    }
}
