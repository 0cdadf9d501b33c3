import Kernels
import Models

/// The conversion of plain layers to multi-head latent attention, layer by layer (``LatentConversion``), with a refinement as
/// in the `learned` merge.
public struct LatentMethod: ConversionMethod {
    private var values: DesignSettings = [:]

    public let name = LatentDesign.name
    public let summary = LatentDesign.summary
    public let settings: [DesignSetting] = [
        .integer(
            "rank", 1...(1 << 16), isRequired: true, help: "elements of the latent that a token's keys and values are made from",
            example: 32),
        .integer(
            "ropeHeadDim", 0...(1 << 16),
            help: "elements of a head that stay rotated, every n-th RoPE plane; half of those RoPE turns unless said", example: 16
        ),
        DesignMethod.refinementSetting,
    ]
    public let calibrationUse = CalibrationUse.required(by: "method '\(LatentDesign.name)'")
    public let budgetedSetting: String? = "rank"

    /// The conversion, with its settings unset.
    public init() {}

    public mutating func set(_ values: DesignSettings) { self.values = values }

    public mutating func spend(
        bytesPerToken: Int, _ encoding: KVEncoding, _ config: ModelConfig, _ parameters: Parameters,
        _ calibration: Calibration,
        progress: (Int, Int) throws -> Void
    ) throws {
        values["rank"] = try rank(bytesPerToken: bytesPerToken, encoding, config)
    }

    /// The largest latent whose cache takes at most `bytesPerToken` in `encoding`, beside the rotated part.
    ///
    /// Throws ``ConversionError/budgetTooSmall(bytes:least:)``.
    public func rank(bytesPerToken: Int, _ encoding: KVEncoding, _ config: ModelConfig) throws(ConversionError) -> Int {
        let rope = ropeHeadDim(turned: config.rotaryDim(0))
        guard let rank = encoding.widestLatent(bytes: bytesPerToken / config.layers, rotaryDim: rope) else {
            let block = encoding.keys.blockElements
            let least = encoding.tokenBytes(kvHeads: 1, keyDim: block + rope, valueDim: block, valuesAreKeys: true)
            throw .budgetTooSmall(bytes: bytesPerToken, least: config.layers * least)
        }
        return rank
    }

    /// The elements of a head that stay rotated, of `turned` rotated ones.
    private func ropeHeadDim(turned: Int) -> Int { values["ropeHeadDim"] ?? (turned % 4 == 0 ? turned / 2 : turned) }

    public func design(headDim: Int) -> (settings: DesignSettings, headDim: Int)? {
        var settings = values.only(LatentDesign.settings)
        let rope = ropeHeadDim(turned: headDim)
        settings["ropeHeadDim"] = rope
        // Values as they were, no norm, and heads without position beside the rotated part.
        settings["valueHeadDim"] = headDim
        settings.values["norm"] = .flag(false)
        return (settings, headDim + rope)
    }

    public func childConfig(_ config: ModelConfig) throws -> ModelConfig {
        try config.checkPlainLayers()
        let (rank, rope) = (values["rank"] ?? 0, ropeHeadDim(turned: config.rotaryDim(0)))
        var child = config
        guard let headDim = config.headDim.uniform else {
            throw ConversionError.architecture("'mla' needs heads of one width in all layers")
        }
        let turned = config.rotaryDim(0)
        guard turned > 0 || rope == 0 else {
            throw ConversionError.architecture(
                "it has no rotary positions, so nothing of its keys is rotated; choose a rotated part of 0")
        }
        guard turned == 0 || rope >= 2 && rope % 2 == 0 && turned % rope == 0 else {
            throw ConversionError.architecture(
                "a rotated part of \(rope) elements is not every n-th plane of the \(turned) elements that RoPE turns in a head; "
                    + "choose one of \(Self.evenDivisors(turned))")
        }
        if rope != turned, config.ropeScaling?.kind == .yarn {
            throw ConversionError.architecture("yarn's frequencies depend on all planes; choose a rotated part of \(turned)")
        }
        let most = (0..<config.layers).map { 2 * config.kvHeads[$0] * headDim }.min() ?? 0
        guard (1...most).contains(rank) else {
            throw ConversionError.architecture(
                "a latent of \(rank) elements for keys and values of \(most) together; choose 1 to \(most)")
        }
        child.headDim = .all(headDim + rope)
        child.kvHeads = config.heads
        (child.hasQueryKeyNorm, child.rotaryWidth) = (nil, nil)
        child.latent = LatentShape(rank: rank, ropeHeadDim: rope, valueHeadDim: headDim, hasNorm: false)
        try child.validate()
        return child
    }

    private static func evenDivisors(_ count: Int) -> String {
        (1...count).filter { count % $0 == 0 && $0 % 2 == 0 }.map(String.init).joined(separator: ", ")
    }

    public func convert(_ job: ConversionJob, report: inout ConversionReport) throws -> Parameters {
        let (config, parent) = (job.config, job.parent)
        guard let shape = job.child.latent, let calibration = job.calibration else { return job.parameters }
        var converted = job.parameters
        try job.progress("looking at the parent's activations")
        let moments = calibration.moments(parent)
        let frequencies = config.ropeFrequencies(headDim: config.rotaryDim(0))
        let window = calibration.batches.map(\.seq).max() ?? 1
        for layer in 0..<config.layers {
            try job.progress("factoring", layer, of: config.layers)
            let context = LayerContext(layer: layer, moment: moments[layer], seed: job.seed)
            let before = try AttentionWeights(config, converted, layer: layer).normsFolded(epsilon: config.normEpsilon, context)
            let conversion = LatentConversion(shape: shape, frequencies: frequencies, distances: window)
            let weights = try conversion.convert(before, context)
            AttentionWeights.remove(.key, .value, .queryNorm, .keyNorm, from: &converted, layer: layer)
            for (module, matrix) in weights { before.set(module, matrix, in: &converted, layer: layer) }
        }
        report.isRefined = values.isOn(DesignMethod.refinementSetting.key)
        return report.isRefined == true ? try job.refined(converted) : converted
    }
}
