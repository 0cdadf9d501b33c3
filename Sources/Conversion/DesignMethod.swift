import Kernels
import Models

/// The conversion of plain layers to an attention design that keeps its heads: shared keys and values, windows.
///
/// Shared keys and values are rewritten set by set (``CrossLayerConversion``); a window changes no weight. A refinement
/// follows, as in the `learned` merge.
public struct DesignMethod: ConversionMethod {
    private let type: any AttentionDesign.Type
    private var values: DesignSettings = [:]

    public var name: String { type.name }
    public var summary: String { type.summary }
    public var settings: [DesignSetting] { type.settings + [Self.refinementSetting] }
    public var calibrationUse: CalibrationUse { .required(by: "method '\(name)'") }

    /// Whether the rewritten weights are refined.
    static let refinementSetting = DesignSetting(
        "refinement", .flag, help: "leave the rewritten weights as they are, not refined over the calibration text")

    /// The conversion to `design`.
    public init(_ design: any AttentionDesign.Type) { type = design }

    public mutating func set(_ values: DesignSettings) { self.values = values }

    public func childConfig(_ config: ModelConfig) throws -> ModelConfig {
        try config.checkPlainLayers()
        var child = config
        try type.init(values, headDim: config.headDim[0]).configure(&child)
        try child.validate()
        return child
    }

    public func design(headDim: Int) -> (settings: DesignSettings, headDim: Int)? { (values.only(type.settings), headDim) }

    public func convert(_ job: ConversionJob, report: inout ConversionReport) throws -> Parameters {
        var converted = job.parameters
        if job.child.keyValueSources != nil, let calibration = job.calibration {
            try job.progress("looking at the parent's activations")
            try share(job, calibration, &converted)
        }
        report.isRefined = values.isOn(Self.refinementSetting.key)
        return report.isRefined == true ? try job.refined(converted) : converted
    }

    /// Gives each set of layers shared keys and values, in its first layer.
    private func share(_ job: ConversionJob, _ calibration: Calibration, _ converted: inout Parameters) throws {
        let (config, child) = (job.config, job.child)
        let sources = (0..<config.layers).map { child.keyValueSource($0) ?? $0 }
        let moments = calibration.crossMoments(job.parent, sources: sources)
        for source in Set(sources).sorted() {
            let members = sources.indices.filter { sources[$0] == source }
            guard members.count > 1 else { continue }
            try job.progress("sharing keys and values", members[0], of: config.layers)
            var layers: [AttentionWeights] = []
            for layer in members { layers.append(try AttentionWeights(config, converted, layer: layer)) }
            let shared = try CrossLayerConversion().convert(
                layers, moment: moments[source], crossMoments: members.map { moments[$0] }, seed: job.seed)
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

extension ModelConfig {
    /// Throws the first part that is not plain attention: weights of its own, shared keys and values, a window.
    func checkPlainLayers() throws(ConversionError) {
        if let attentionShape { throw .architecture("it has \(attentionShape.part) already") }
        if keyValueSources != nil { throw .architecture("its layers share keys and values already") }
        if (0..<layers).contains(where: { window($0) != nil }) { throw .architecture("its layers have windows already") }
    }
}
