import Kernels
import Models

/// A conversion of a trained model to a smaller KV cache: a merge of KV heads, or a change of the attention.
///
/// A method in ``ConversionMethods/all`` is a recipe's `method` or attention, a `--method` of the command line, and its settings are their
/// keys and options.
public protocol ConversionMethod: Sendable {
    /// The name `--method` and recipes use.
    var name: String { get }
    /// One line for `--help`.
    var summary: String { get }
    /// Its settings.
    var settings: [DesignSetting] { get }
    /// The use of calibration text under its present values.
    var calibrationUse: CalibrationUse { get }
    /// The key of the setting that a budget of cache bytes decides; nil for none.
    var budgetedSetting: String? { get }
    /// Takes values of its settings, which are in their ranges.
    mutating func set(_ values: DesignSettings)
    /// Decides ``budgetedSetting`` so that the cache of `config` takes at most `bytesPerToken`; throws where it can't.
    mutating func spend(
        bytesPerToken: Int, _ encoding: KVEncoding, _ config: ModelConfig, _ parameters: Parameters,
        _ calibration: Calibration,
        progress: (Int, Int) throws -> Void) throws
    /// The configuration afterwards; throws the reason where the model has no such conversion.
    func childConfig(_ config: ModelConfig) throws -> ModelConfig
    /// The weights afterwards; adds its own figures to `report`.
    func convert(_ job: ConversionJob, report: inout ConversionReport) throws -> Parameters
    /// The design, for heads of `headDim`, of a model from scratch with the attention that the conversion leads to, and that model's
    /// headDim; nil for KV heads, which need no design.
    func design(headDim: Int) -> (settings: DesignSettings, headDim: Int)?
}

extension ConversionMethod {
    /// Most methods have settings that decide the cache's bytes in steps of their own.
    public var budgetedSetting: String? { nil }
    /// Without a budgeted setting there is nothing to decide.
    public func spend(
        bytesPerToken: Int, _ encoding: KVEncoding, _ config: ModelConfig, _ parameters: Parameters,
        _ calibration: Calibration,
        progress: (Int, Int) throws -> Void
    ) throws {}
}

/// The use of calibration text by a conversion.
public enum CalibrationUse: Sendable, Equatable {
    /// It makes no difference.
    case none
    /// It makes the conversion better.
    case optional
    /// The part of the conversion that is named works on activations alone.
    case required(by: String)
}

/// A model on its way through a conversion.
public struct ConversionJob {
    let config: ModelConfig
    let child: ModelConfig
    let parameters: Parameters
    let parent: DecoderLM
    let calibration: Calibration?
    let seed: UInt64
    let progress: (String) throws -> Void

    /// The weights refined against the parent's activations, in as many steps as suit a model of `sizes`.
    func refined(_ parameters: Parameters, sizes: ModelConfig) throws -> Parameters {
        guard let calibration else { return parameters }
        let refinement = Refinement(
            parent: parent, calibration: calibration, steps: Refinement.steps(sizes, calibration), seed: seed)
        return try refinement.run(child, parameters) { try progress("refined layer \($0) of \(config.layers)") }
    }
}

/// The conversions there are, by name.
public enum ConversionMethods {
    /// Every method.
    public static let all: [any ConversionMethod] = [
        HeadMergeMethod(MeanMethod()), HeadMergeMethod(FirstMethod()), HeadMergeMethod(RandomMethod()),
        HeadMergeMethod(MedoidMethod()), HeadMergeMethod(AlignedMethod()), HeadMergeMethod(SVDMethod()),
        HeadMergeMethod(LearnedMethod()), LatentMethod(), DesignMethod(CrossLayerAttention.self),
        DesignMethod(YOCOAttention.self),
        DesignMethod(HybridAttention.self),
    ]

    /// Every name, in order.
    public static var names: [String] { all.map(\.name) }

    /// The merges of KV heads.
    public static var merges: [HeadMergeMethod] { all.compactMap { $0 as? HeadMergeMethod } }

    /// The method called `name` with these values of its settings; nil for none.
    public static func named(_ name: String, _ values: DesignSettings = [:]) -> (any ConversionMethod)? {
        guard var method = all.first(where: { $0.name == name }) else { return nil }
        method.set(values)
        return method
    }

    /// The reason why `name` can't merge KV heads; nil where it can.
    public static func refusal(ofMerge name: String) -> String? {
        let names = merges.map(\.name)
        return names.contains(name)
            ? nil : "no conversion method '\(name)' of KV heads; there are \(names.joined(separator: ", "))"
    }

    /// What is best by measurement: with calibration text `learned`, on weights alone `aligned`.
    public static func defaultName(calibrated: Bool) -> String { calibrated ? LearnedMethod.name : AlignedMethod.name }
}
