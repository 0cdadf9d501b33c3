import Autograd
import Checkpoints
import Kernels
import Models

/// A conversion with its calibration text and seed.
public struct Converter: Sendable {
    /// The conversion.
    public var method: any ConversionMethod
    /// Calibration text; nil to convert by weights alone.
    public var calibration: Calibration?
    /// Seed of the methods that draw random numbers, and of the refinement's order of windows.
    public var seed: UInt64
    /// The store of the refinement's state, from which a stopped conversion resumes; nil for none.
    public var store: ConversionStore?

    /// A converter by `method`.
    ///
    /// ``convert(_:_:progress:)`` checks whether a model has this conversion.
    public init(_ method: any ConversionMethod, calibration: Calibration? = nil, seed: UInt64 = 0) {
        self.method = method
        self.calibration = calibration
        self.seed = seed
    }

    /// Floating-point operations of the refinement of a model of `config`'s size over ``Calibration/defaultTokens``.
    public static func refinementWork(_ config: ModelConfig) -> Double {
        Refinement.work(config, tokens: Calibration.defaultTokens, seq: Calibration.window(of: config))
    }

    /// The child's configuration and weights, and the report; `progress` is called with each layer.
    ///
    /// Throws ``ConversionError`` if the model has no such conversion, calibration is missing or a rewrite changes the logits,
    /// `ModelConfigError` if its sizes allow no such design, `ParametersError` if weights do not fit.
    public func convert(
        _ config: ModelConfig, _ parameters: Parameters, progress: @escaping (ConversionProgress) throws -> Void = { _ in }
    ) throws -> (ModelConfig, Parameters, ConversionReport) {
        let child = try method.childConfig(config)
        if calibration == nil, case .required(let part) = method.calibrationUse { throw ConversionError.needsCalibration(part) }
        try parameters.validate(against: config)
        let tensors = parameters.tensors
        let job = ConversionJob(
            config: config, child: child, parameters: parameters, tensors: tensors,
            parent: try DecoderLM(config: config, tensors: tensors), calibration: calibration, seed: seed,
            store: store, progress: progress)
        var report = ConversionReport(method: method.name, calibrationTokens: calibration?.tokens, parent: config, child: child)
        return (child, try method.convert(job, report: &report), report)
    }
}

extension Parameters {
    /// The weights as constants in Float32, by name.
    fileprivate var tensors: [String: Tensor] {
        Dictionary(
            uniqueKeysWithValues: names.compactMap { name in
                self[name].map { (name, Tensor(shape: Shape($0.shape), storage: $0.float32())) }
            })
    }
}

extension Checkpoint {
    /// The converted checkpoint, with the parent and the conversion in its lineage and without training state.
    public func converted(
        by converter: Converter, progress: @escaping (ConversionProgress) throws -> Void = { _ in }
    ) throws -> (Checkpoint, ConversionReport) {
        let (childConfig, childParameters, report) = try converter.convert(config, parameters, progress: progress)
        // The parent's widened weights and the refinement's memory are free by now, and of no use to what follows.
        StoragePool.shared.trim()
        var child = self
        child.config = childConfig
        child.parameters = childParameters
        child.trainingState = nil
        child.lineage.parentHash = lineage.contentHash
        child.lineage.contentHash = nil
        child.lineage.figures = nil
        child.lineage.conversion = report.lineage
        child.lineage.toolVersion = Lineage.currentTool
        return (child, report)
    }
}

/// An error of a conversion.
public enum ConversionError: Error, CustomStringConvertible, Equatable {
    /// The layer's KV heads cannot form equal groups.
    case impossible(layer: Int, from: Int, to: Int)
    /// KV heads are given for another number of layers than the model has.
    case layerCount(Int, layers: Int)
    /// The named part works on activations, and calibration text is missing.
    case needsCalibration(String)
    /// The calibration text has too few tokens.
    case calibrationTooShort(found: Int, needed: Int)
    /// The budget in cache bytes per token is below the smallest cache.
    case budgetTooSmall(bytes: Int, least: Int)
    /// The rewrite before merging changed the logits by this share of their spread.
    case rewriteChangesLogits(Double)
    /// The conversion does not apply to the model's attention.
    case architecture(String)
    /// No method has this name.
    case unknownMethod(String)

    /// The sentence for the user, with the possible numbers of KV heads or methods.
    public var description: String {
        switch self {
        case .impossible(let layer, let from, let to):
            if to > from {
                "layer \(layer) has \(from) KV heads, conversion cannot make \(to) of them; choose one of \(Self.divisors(from))"
            } else {
                "layer \(layer): \(from) KV heads cannot form \(to) equal groups; choose one of \(Self.divisors(from))"
            }
        case .layerCount(let count, let layers): "KV heads are given for \(count) layers, the model has \(layers)"
        case .needsCalibration(let what):
            "\(what) works on the model's activations: give a calibration text (--calibration FILE, or \"calibration\" in the recipe)"
        case .calibrationTooShort(let found, let needed):
            "the calibration text has \(found) tokens, \(needed) are needed; take a longer one"
        case .budgetTooSmall(let bytes, let least):
            "a budget of \(bytes) bytes per token is impossible: one KV head, or one element of a latent, in every layer takes \(least)"
        case .rewriteChangesLogits(let change):
            "rewriting the heads before merging changed the logits by \(change) of their spread, which it must not: "
                + "are the weights finite and the model's dimensions right? Nothing was written"
        case .architecture(let reason): "the model cannot be converted: \(reason)"
        case .unknownMethod(let name):
            "no conversion method '\(name)'; there are \(ConversionMethods.names.joined(separator: ", "))"
        }
    }

    private static func divisors(_ count: Int) -> String {
        (1...max(count, 1)).filter { count % $0 == 0 }.map(String.init).joined(separator: ", ")
    }
}
