import Autograd
import Kernels
import Models
import Random

/// Turns a model's KV heads into fewer.
///
/// Query head h goes on reading KV head ⌊h·G/H⌋: where heads that aren't neighbours form a group, they are brought together
/// first, with their queries and output columns. With as many KV heads as before the weights are the same, bit for bit.
public struct Converter: Sendable {
    /// KV heads of each layer afterwards.
    public var kvHeads: PerLayer<Int>
    /// How a group becomes one head.
    public var method: any ConversionMethod
    /// Which heads form a group.
    public var grouping: HeadGrouping
    /// Text to look at the parent's activations over; nil to go by weights alone.
    public var calibration: Calibration?
    /// Seed for methods that draw random numbers.
    public var seed: UInt64

    /// A converter to `kvHeads` in every layer.
    ///
    /// Whether a model's heads can be grouped so is found out by ``convert(_:_:progress:)``; `seed` matters only to methods that draw.
    public init(
        kvHeads: Int, method: any ConversionMethod, grouping: HeadGrouping = .contiguous, calibration: Calibration? = nil,
        seed: UInt64 = 0
    ) {
        self.kvHeads = .all(kvHeads)
        self.method = method
        self.grouping = grouping
        self.calibration = calibration
        self.seed = seed
    }

    /// The converted configuration and weights, and what changed; `progress` is told what is being done.
    ///
    /// Throws ``ConversionError`` where a layer's KV heads cannot be grouped so, calibration is missing or a rewrite turns out
    /// to change the logits, `ParametersError` where weights don't fit.
    public func convert(
        _ config: ModelConfig, _ parameters: Parameters, progress: (String) throws -> Void = { _ in }
    ) throws -> (ModelConfig, Parameters, ConversionReport) {
        try check(config)
        try parameters.validate(against: config)
        var child = config
        child.kvHeads = PerLayer((0..<config.layers).map { kvHeads[$0] })
        let changes = (0..<config.layers).contains { config.kvHeads[$0] != kvHeads[$0] }
        let parent = try DecoderLM(config: config, parameters: parameters)
        if changes, calibration != nil { try progress("looking at the parent's activations") }
        let moments = changes ? calibration?.moments(parent) : nil
        var (converted, rewritten) = (parameters, parameters)
        var layers: [ConversionReport.Layer] = []
        for layer in 0..<config.layers {
            let before = try AttentionWeights(config, parameters, layer: layer)
            let context = LayerContext(layer: layer, moment: moments?[layer], seed: seed)
            var result = LayerConversion(child: before)
            if before.kvHeads != kvHeads[layer] {
                try progress("layer \(layer + 1) of \(config.layers)")
                let order = try grouping.order(before, groupSize: before.kvHeads / kvHeads[layer], context)
                let grouped = before.reordered(order)
                result = try method.convert(grouped, to: kvHeads[layer], context)
                (result.rewritten ?? grouped).write(to: &rewritten, layer: layer, unless: before)
                result.child.write(to: &converted, layer: layer, unless: before)
            }
            var report = ConversionReport.Layer(layer: layer, from: before.kvHeads, to: kvHeads[layer])
            if before.kvHeads != kvHeads[layer] { report.fixedPlanes = before.turnable?.count { !$0 } ?? 0 }
            for (projection, parent, child) in [
                (KVProjection.key, before.key, result.child.key), (.value, before.value, result.child.value),
            ] {
                report.projections[projection] = ConversionReport.Projection(
                    parent: HeadRows(parent, headDim: before.headDim), child: HeadRows(child, headDim: before.headDim))
            }
            layers.append(report)
        }
        let change = changes ? try logitChange(parent, rewritten) : 0
        if changes, method.refines, let calibration {
            let refinement = Refinement(
                parent: parent, calibration: calibration, steps: Refinement.steps(config, calibration), seed: seed)
            converted = try refinement.run(child, converted) { try progress("refined layer \($0) of \(config.layers)") }
        }
        return (
            child, converted,
            ConversionReport(
                method: method.name, grouping: grouping, calibrationTokens: calibration?.tokens, logitChange: change,
                parent: config,
                child: child, layers: layers)
        )
    }

    private func check(_ config: ModelConfig) throws(ConversionError) {
        if config.latent != nil { throw .architecture("latent attention has no KV heads to merge") }
        if (0..<config.layers).contains(where: { config.keyValueSource($0) != nil }) {
            throw .architecture("its layers share keys and values already")
        }
        if case .each(let values) = kvHeads, values.count != config.layers {
            throw .layerCount(values.count, layers: config.layers)
        }
        for layer in 0..<config.layers {
            guard kvHeads[layer] >= 1, config.kvHeads[layer] % kvHeads[layer] == 0 else {
                throw .impossible(layer: layer, from: config.kvHeads[layer], to: kvHeads[layer])
            }
        }
        guard calibration == nil else { return }
        if method.refines { throw .needsCalibration("method '\(method.name)'") }
        if grouping == .activation { throw .needsCalibration("grouping '\(grouping.rawValue)'") }
    }

    /// How far the rewrites before merging moved the logits, over the spread of these; throws where that is more than rounding.
    private func logitChange(_ parent: DecoderLM, _ rewritten: Parameters) throws -> Double {
        let seq = min(64, parent.config.maxSequence)
        let input: ModelInput
        if let batch = calibration?.batches.first {
            let used = min(seq, batch.seq)
            input = ModelInput(batch: 1, seq: used, tokens: Array(batch.tokens.prefix(used)))
        } else {
            var generator = SeededGenerator(seed: seed, name: "rewrite check")
            let tokens = (0..<seq).map { _ in Int32.random(in: 0..<Int32(parent.config.vocabularySize), using: &generator) }
            input = ModelInput(batch: 1, seq: seq, tokens: tokens)
        }
        let before = parent.logits(input).values
        let after = try DecoderLM(config: parent.config, parameters: rewritten).logits(input).values
        let spread = (before.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(before.count)).squareRoot()
        let largest = zip(before, after).reduce(0.0) { max($0, Double(abs($1.0 - $1.1))) }
        let change = largest / max(spread, 1e-30)
        guard change < 1e-3 else { throw ConversionError.rewriteChangesLogits(change) }
        return change
    }
}

extension ConversionMethod {
    var name: String { Self.name }
    var refines: Bool { Self.refines }
    /// Whether calibration text makes a difference.
    public var usesActivations: Bool { Self.usesActivations }
}

/// Why a conversion cannot be made.
public enum ConversionError: Error, CustomStringConvertible, Equatable {
    /// The layer's KV heads cannot be put in equal groups.
    case impossible(layer: Int, from: Int, to: Int)
    /// KV heads are given for another number of layers than there are.
    case layerCount(Int, layers: Int)
    /// What is named works on activations, and there is no calibration text.
    case needsCalibration(String)
    /// The calibration text has fewer tokens than are needed.
    case calibrationTooShort(found: Int, needed: Int)
    /// The budget in cache bytes per token is below one KV head in every layer.
    case budgetTooSmall(bytes: Int, least: Int)
    /// Rewriting the weights before merging changed the logits by this share of their spread.
    case rewriteChangesLogits(Double)
    /// The model's attention is one that the conversion does not start from.
    case architecture(String)
    /// There is no such method.
    case unknownMethod(String)

    /// The sentence for the user, with the numbers of KV heads or the methods there are to choose from.
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
            "a budget of \(bytes) bytes per token is impossible: one KV head in every layer takes \(least)"
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
