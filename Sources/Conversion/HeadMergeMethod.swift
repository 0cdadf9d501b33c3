import Autograd
import Kernels
import Models
import Random

/// The conversion to fewer KV heads by a merge of each group of heads.
///
/// Query head h still reads KV head ⌊h·G/H⌋: heads of a group that are not neighbours are reordered first, with their queries
/// and output columns. With as many KV heads as before the weights are unchanged, bit for bit.
public struct HeadMergeMethod: ConversionMethod {
    /// The merge of a group into one head.
    let merge: any HeadMerge
    /// The child's KV heads of each layer.
    public var kvHeads: PerLayer<Int>
    /// The grouping of the heads.
    public var grouping: HeadGrouping

    public var name: String { type(of: merge).name }
    public var summary: String { type(of: merge).summary }
    public var settings: [DesignSetting] { Self.settings }
    /// The settings of every merge.
    public static let settings: [DesignSetting] = [
        .integer(
            "kvHeads", 1...(1 << 16), isRequired: true, help: "KV heads of every layer afterwards; divides the checkpoint's",
            example: 2),
        DesignSetting(
            "grouping", .choice(HeadGrouping.allCases.map(\.rawValue)),
            help:
                "which heads form a group: contiguous unless said, similarity (of weights) or activation (over calibration text)"),
    ]
    public let budgetedSetting: String? = "kvHeads"

    /// A merge to `kvHeads` in every layer.
    init(_ merge: any HeadMerge, kvHeads: Int = 1, grouping: HeadGrouping = .contiguous) {
        self.merge = merge
        self.kvHeads = .all(kvHeads)
        self.grouping = grouping
    }

    public var calibrationUse: CalibrationUse {
        if type(of: merge).refines { return .required(by: "method '\(name)'") }
        if grouping == .activation { return .required(by: "grouping '\(grouping.rawValue)'") }
        return type(of: merge).usesActivations ? .optional : .none
    }

    public mutating func set(_ values: DesignSettings) {
        if let heads = values["kvHeads"] { kvHeads = .all(heads) }
        if let choice = values.choice("grouping").flatMap(HeadGrouping.init) { grouping = choice }
    }

    public mutating func spend(
        bytesPerToken: Int, _ encoding: KVEncoding, _ config: ModelConfig, _ parameters: Parameters,
        _ calibration: Calibration,
        progress: (Int, Int) throws -> Void
    ) throws {
        kvHeads = try HeadBudget.kvHeads(
            config, parameters, bytesPerToken: bytesPerToken, encoding: encoding, calibration: calibration,
            progress: progress)
    }

    public func childConfig(_ config: ModelConfig) throws -> ModelConfig {
        if let shape = config.attentionShape { throw ConversionError.architecture("\(shape.part) has no KV heads to merge") }
        if (0..<config.layers).contains(where: { config.keyValueSource($0) != nil }) {
            throw ConversionError.architecture("its layers share keys and values already")
        }
        if case .each(let values) = kvHeads, values.count != config.layers {
            throw ConversionError.layerCount(values.count, layers: config.layers)
        }
        for layer in 0..<config.layers {
            guard kvHeads[layer] >= 1, config.kvHeads[layer] % kvHeads[layer] == 0 else {
                throw ConversionError.impossible(layer: layer, from: config.kvHeads[layer], to: kvHeads[layer])
            }
        }
        var child = config
        child.kvHeads = PerLayer((0..<config.layers).map { kvHeads[$0] })
        return child
    }

    public func design(headDim: Int) -> (settings: DesignSettings, headDim: Int)? { nil }

    public func convert(_ job: ConversionJob, report: inout ConversionReport) throws -> Parameters {
        let (config, parameters, parent, calibration) = (job.config, job.parameters, job.parent, job.calibration)
        let changes = (0..<config.layers).contains { config.kvHeads[$0] != kvHeads[$0] }
        if changes, calibration != nil { try job.progress("looking at the parent's activations") }
        let moments = changes ? calibration?.moments(parent) : nil
        var (converted, rewritten) = (parameters, parameters)
        for layer in 0..<config.layers {
            let before = try AttentionWeights(config, parameters, layer: layer)
            let context = LayerContext(layer: layer, moment: moments?[layer], seed: job.seed)
            var result = LayerConversion(child: before)
            if before.kvHeads != kvHeads[layer] {
                try job.progress("merging", layer, of: config.layers)
                let order = try grouping.order(before, groupSize: before.kvHeads / kvHeads[layer], context)
                let grouped = before.reordered(order)
                result = try merge.convert(grouped, to: kvHeads[layer], context)
                (result.rewritten ?? grouped).write(to: &rewritten, layer: layer, unless: before)
                result.child.write(to: &converted, layer: layer, unless: before)
            }
            func projection(_ matrix: KeyPath<AttentionWeights, DenseMatrix>) -> ConversionReport.Projection {
                ConversionReport.Projection(
                    parent: HeadRows(before[keyPath: matrix], headDim: before.headDim),
                    child: HeadRows(result.child[keyPath: matrix], headDim: before.headDim))
            }
            var change = ConversionReport.Layer(
                layer: layer, from: before.kvHeads, to: kvHeads[layer], key: projection(\.key), value: projection(\.value))
            if before.kvHeads != kvHeads[layer] { change.fixedPlanes = before.turnable?.count { !$0 } ?? 0 }
            report.layers.append(change)
        }
        report.grouping = grouping
        guard changes else { return converted }
        report.logitChange = try logitChange(job, rewritten)
        return type(of: merge).refines ? try job.refined(converted) : converted
    }

    /// The largest change of a logit by the rewrites before merging, over the logits' spread; throws if it exceeds rounding.
    private func logitChange(_ job: ConversionJob, _ rewritten: Parameters) throws -> Double {
        let parent = job.parent
        let seq = min(64, parent.config.maxSequence)
        let input: ModelInput
        if let batch = job.calibration?.batches.first {
            let used = min(seq, batch.seq)
            input = ModelInput(batch: 1, seq: used, tokens: Array(batch.tokens.prefix(used)))
        } else {
            var generator = SeededGenerator(seed: job.seed, name: "rewrite check")
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
