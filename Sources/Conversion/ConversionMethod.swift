import Autograd
import Kernels
import Models

/// A conversion of a trained model to a smaller KV cache: a merge of KV heads, or a change of the attention.
///
/// A method in ``ConversionMethods/all`` is a `method` or an attention in recipes and a `--method` on the command line; its
/// settings are the recipe's keys and the command's options.
public protocol ConversionMethod: Sendable {
    /// The name in recipes and for `--method`.
    var name: String { get }
    /// One line for `--help`.
    var summary: String { get }
    /// The declared settings.
    var settings: [DesignSetting] { get }
    /// The use of calibration text under the current values.
    var calibrationUse: CalibrationUse { get }
    /// The key of the setting that a budget of cache bytes determines; nil for none.
    var budgetedSetting: String? { get }
    /// Sets the values of the settings. Precondition: each is in its range.
    mutating func set(_ values: DesignSettings)
    /// Chooses ``budgetedSetting`` so that the cache of `config` takes at most `bytesPerToken`; throws if no value does.
    mutating func spend(
        bytesPerToken: Int, _ encoding: KVEncoding, _ config: ModelConfig, _ parameters: Parameters,
        _ calibration: Calibration,
        progress: (Int, Int) throws -> Void) throws
    /// The child's configuration; throws the reason if the model has no such conversion.
    func childConfig(_ config: ModelConfig) throws -> ModelConfig
    /// The child's weights; adds the method's figures to `report`.
    func convert(_ job: ConversionJob, report: inout ConversionReport) throws -> Parameters
    /// The design of a model from scratch with the child's attention, for heads of `headDim`, and that model's headDim; nil for
    /// merges of KV heads, which need no design.
    func design(headDim: Int) -> (settings: DesignSettings, headDim: Int)?
}

extension ConversionMethod {
    /// The default: no budgeted setting.
    public var budgetedSetting: String? { nil }
    /// The default, without a budgeted setting, does nothing.
    public func spend(
        bytesPerToken: Int, _ encoding: KVEncoding, _ config: ModelConfig, _ parameters: Parameters,
        _ calibration: Calibration,
        progress: (Int, Int) throws -> Void
    ) throws {}
}

/// The use of calibration text by a conversion.
public enum CalibrationUse: Sendable, Equatable {
    /// Calibration text makes no difference.
    case none
    /// Calibration text improves the conversion.
    case optional
    /// The named part of the conversion works on activations alone.
    case required(by: String)
}

/// The input of a conversion: the parent, the child's configuration, calibration text and seed.
public struct ConversionJob {
    let config: ModelConfig
    let child: ModelConfig
    let parameters: Parameters
    /// The parent's weights in Float32, by name.
    let tensors: [String: Tensor]
    /// The parent over these tensors.
    let parent: DecoderLM
    let calibration: Calibration?
    let seed: UInt64
    let store: ConversionStore?
    let progress: (ConversionProgress) throws -> Void

    /// Reports `done` of `total` layers of a part; 0 layers where they are not counted.
    func progress(_ part: String, _ done: Int = 0, of total: Int = 0) throws {
        try progress(ConversionProgress(part, .layer, done, of: total))
    }

    /// The weights refined over the calibration text to give the parent's predictions.
    func refined(_ parameters: Parameters) throws -> Parameters {
        guard let calibration else { return parameters }
        let refinement = Refinement(parent: parent, tensors: tensors, calibration: calibration, seed: seed, store: store)
        return try refinement.run(child, parameters) { try progress(ConversionProgress("refining", .step, $0, of: $1)) }
    }
}

/// The table of conversions.
public enum ConversionMethods {
    /// Every method.
    public static let all: [any ConversionMethod] =
        [
            HeadMergeMethod(MeanMethod()), HeadMergeMethod(FirstMethod()), HeadMergeMethod(RandomMethod()),
            HeadMergeMethod(MedoidMethod()), HeadMergeMethod(AlignedMethod()), HeadMergeMethod(SVDMethod()),
            HeadMergeMethod(LearnedMethod()), LatentMethod(),
        ] + AttentionDesigns.all.filter { $0.keepsHeads }.map { DesignMethod($0) }

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

    /// The default method, the best by measurement: `learned` with calibration text, else `aligned`.
    public static func defaultName(calibrated: Bool) -> String { calibrated ? LearnedMethod.name : AlignedMethod.name }
}
