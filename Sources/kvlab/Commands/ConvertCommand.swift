import ArgumentParser
import Checkpoints
import Conversion
import Experiments
import Foundation
import Kernels
import Models
import Registry

/// `kvlab convert`: fewer KV heads, or another attention.
struct ConvertCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convert",
        abstract: "Convert a checkpoint to fewer KV heads (GQA, MQA) or another attention (MLA, CLA, YOCO, windows).",
        discussion: """
            KV heads form equal groups, and each group becomes one head:
            \(ConversionMethods.all.map { "  \($0.name): \($0.summary)" }.joined(separator: "\n"))
            Without --method it is \(ConversionMethods.defaultName(calibrated: true)) with calibration text and \
            \(ConversionMethods.defaultName(calibrated: false)) without: text like what the model was trained on makes a large difference.
            Other methods change the attention itself, and need calibration text:
              mla: multi-head latent attention, --rank (or a budget) and --rope-head-dim
              cross-layer: --share-layers adjacent layers read the keys and values of the first of them
              yoco: the lower half of the layers sees --window, the upper half reads one set of global keys and values
              hybrid: layers see --window and the first --sinks tokens, every --full-every-th sees everything
            A GQA checkpoint can be converted further. With as many KV heads as before the weights stay the same, bit for bit.
            Converted models lose quality until they are uptrained: see 'kvlab train' with "init" and "uptrain".
            """)

    @Argument(help: "The checkpoint to convert.", completion: .file(extensions: ["h5"]))
    var checkpoint: String

    @Option(name: .customLong("kv-heads"), help: "KV heads of every layer afterwards; divides the checkpoint's.")
    var kvHeads: Int?

    @Option(
        help:
            "Instead of --kv-heads: cache bytes per token, spent where a layer loses most by sharing heads (needs --calibration)."
    )
    var budgetBytesPerToken: Int?

    @Option(help: "Element type of the budget's cache.")
    var kvDtype = KVEncoding.float16

    @OptionGroup(title: "Other attentions")
    var design: DesignOptions

    @Option(
        help:
            "How a group becomes one head: \(ConversionMethods.names.joined(separator: ", ")); or \(AttentionDesigns.names.joined(separator: ", ")).",
        completion: .list(ConversionMethods.names + AttentionDesigns.names))
    var method: String?

    @Option(help: "Which heads form a group: contiguous, similarity (of weights) or activation (over calibration text).")
    var grouping = HeadGrouping.contiguous

    @Option(help: "A text to look at the model's activations over.", completion: .file())
    var calibration: String?

    @Option(
        help:
            "Tokens of the calibration text to use, from its beginning. Default: what there is, up to \(Calibration.defaultTokens)."
    )
    var tokens: Int?

    @Option(help: "Threads; by default all processors this process may run on.")
    var threads: Int?

    @Option(help: "Seed for methods that draw random numbers.")
    var seed: UInt64 = 0

    @Option(help: "Where to write the converted checkpoint.", completion: .file(extensions: ["h5"]))
    var out: String?

    @Flag(
        help: """
            Report what the conversion does before any training: similarity of heads, norms, entropy of attention, cross-entropy \
            (needs --calibration); writes nothing without --out.
            """)
    var diagnose = false

    @Option(
        help:
            "With --diagnose: predict the tokens of uptraining until bits per byte are within so many percent of the parent's, from the runs under --runs."
    )
    var within: Double?

    @Option(help: "The folder of runs that --within goes by.", completion: .directory)
    var runs = "runs"

    @Flag(help: "Print what changed as JSON.")
    var json = false

    private var methodName: String { method ?? ConversionMethods.defaultName(calibrated: calibration != nil) }

    func validate() throws {
        guard threads.map({ $0 >= 1 }) ?? true else { throw ValidationError("--threads must be at least 1") }
        guard tokens.map({ $0 >= Calibration.leastTokens }) ?? true else {
            throw ValidationError("--tokens is \(tokens ?? 0), expected at least \(Calibration.leastTokens)")
        }
        if AttentionDesigns.names.contains(methodName) { return try validateDesign() }
        try design.refuseAll(method: methodName)
        guard let method = ConversionMethods.named(methodName) else {
            throw ValidationError(ConversionError.unknownMethod(methodName).description)
        }
        guard (kvHeads == nil) != (budgetBytesPerToken == nil) else {
            throw ValidationError("give either --kv-heads or --budget-bytes-per-token")
        }
        guard kvHeads.map({ $0 >= 1 }) ?? true else {
            throw ValidationError("--kv-heads is \(kvHeads ?? 0), expected at least 1")
        }
        guard out != nil || diagnose else { throw ValidationError("say with --out where to write the checkpoint, or --diagnose") }
        guard within.map({ $0 > 0 && $0 <= 1000 }) ?? true else {
            throw ValidationError("--within is \(within ?? 0), expected a percentage above 0 and at most 1000")
        }
        guard diagnose || within == nil else { throw ValidationError("--within needs --diagnose, which it predicts from") }
        guard calibration == nil else { return }
        if tokens != nil { throw ValidationError("--tokens says how much of --calibration to use; name a text") }
        if diagnose || budgetBytesPerToken != nil {
            throw ValidationError(
                ConversionError.needsCalibration(diagnose ? "--diagnose" : "--budget-bytes-per-token").description)
        }
        if type(of: method).refines || grouping == .activation {
            throw ValidationError(
                ConversionError.needsCalibration(
                    grouping == .activation ? "--grouping activation" : "--method \(methodName)"
                ).description)
        }
    }

    private func validateDesign() throws {
        guard calibration != nil else {
            throw ValidationError(ConversionError.needsCalibration("--method \(methodName)").description)
        }
        guard out != nil else { throw ValidationError("say with --out where to write the checkpoint") }
        guard !diagnose else { throw ValidationError("--diagnose compares heads; '\(methodName)' merges none") }
        guard kvHeads == nil, grouping == .contiguous else {
            throw ValidationError("--kv-heads and --grouping mean nothing for '\(methodName)': convert twice for both")
        }
        guard budgetBytesPerToken == nil || methodName == LatentDesign.name else {
            throw ValidationError("--budget-bytes-per-token means nothing for '\(methodName)'")
        }
        try design.validate(method: methodName, hasBudget: budgetBytesPerToken != nil)
    }

    /// The conversion to another attention.
    private func convertDesign() throws {
        let parent = try ModelImport.load(checkpoint)
        let design = try design.design(
            methodName, for: parent.config, bytesPerToken: budgetBytesPerToken, encoding: kvDtype)
        let childConfig = try ArchitectureConversion.childConfig(parent.config, design)
        let reporter = ProgressReporter(quiet: json)
        let model = try LoadedModel(name: checkpoint, checkpoint: parent, path: checkpoint)
        guard let calibration, let out else { return }
        let conversion = ArchitectureConversion(
            design: design,
            calibration: try Calibration(
                ids: model.tokenizer.encode(try TextFile.read(calibration)), tokens: tokens, bosID: model.bosID,
                maxSequence: parent.config.maxSequence), refines: !self.design.noRefinement, seed: seed)
        let child = try parent.converted(by: conversion) { step in reporter.progress(step) }
        reporter.clear()
        try child.save(to: out, links: .followed)
        let context = parent.config.maxSequence
        let report = DesignReport(
            method: methodName, attentionBefore: parent.config.attentionLabel, attentionAfter: childConfig.attentionLabel,
            calibrationTokens: conversion.calibration.tokens, refined: conversion.refines,
            bytesPerTokenBefore: parent.config.kvBytesPerToken(kvDtype), bytesPerTokenAfter: childConfig.kvBytesPerToken(kvDtype),
            context: context, bytesAtContextBefore: parent.config.kvBytes(kvDtype, tokens: context),
            bytesAtContextAfter: childConfig.kvBytes(kvDtype, tokens: context), parametersBefore: parent.config.parameterCount,
            parametersAfter: childConfig.parameterCount)
        guard !json else { return try printJSON(report) }
        try print(
            """
            \(report.attentionBefore) → \(report.attentionAfter)
            KV cache: \(report.bytesPerTokenBefore) → \(report.bytesPerTokenAfter) bytes per token in \(kvDtype.name), \
            \(report.bytesAtContextBefore) → \(report.bytesAtContextAfter) bytes for \(context) tokens
            parameters: \(report.parametersBefore) → \(report.parametersAfter)
            wrote \(out)
            """)
    }

    private struct DesignReport: Encodable {
        var method: String
        var attentionBefore: String
        var attentionAfter: String
        var calibrationTokens: Int
        var refined: Bool
        var bytesPerTokenBefore: Int
        var bytesPerTokenAfter: Int
        var context: Int
        var bytesAtContextBefore: Int
        var bytesAtContextAfter: Int
        var parametersBefore: Int
        var parametersAfter: Int
    }

    func run() throws {
        if let threads { Parallel.setThreads(threads) }
        if AttentionDesigns.names.contains(methodName) { return try convertDesign() }
        guard let method = ConversionMethods.named(methodName) else { throw ConversionError.unknownMethod(methodName) }
        let parent = try ModelImport.load(checkpoint)
        let reporter = ProgressReporter(quiet: json)
        var converter = Converter(kvHeads: kvHeads ?? 1, method: method, grouping: grouping, seed: seed)
        if let calibration {
            let model = try LoadedModel(name: checkpoint, checkpoint: parent, path: checkpoint)
            let text = try TextFile.read(calibration)
            converter.calibration = try Calibration(
                ids: model.tokenizer.encode(text), tokens: tokens, bosID: model.bosID, maxSequence: parent.config.maxSequence)
        }
        if let budgetBytesPerToken, let calibration = converter.calibration {
            converter.kvHeads = try HeadBudget.kvHeads(
                parent.config, parent.parameters, bytesPerToken: budgetBytesPerToken, encoding: kvDtype,
                calibration: calibration
            ) { done, count in reporter.progress("measuring what layers lose  \(done)/\(count)") }
        }
        let (child, report) = try parent.converted(by: converter) { step in reporter.progress(step) }
        var diagnosis: Diagnosis?
        if diagnose, let calibration = converter.calibration {
            reporter.progress("diagnosing")
            diagnosis = try Diagnosis(
                parent: (parent.config, parent.parameters), child: (child.config, child.parameters), method: report.method,
                calibration: calibration)
        }
        var recovery: RecoveryPrediction?
        if let within, let diagnosis {
            reporter.progress("reading the runs under \(runs)")
            recovery = RecoveryPrediction(
                diagnosis, within: within, examples: try RecoveryExample.all(in: openRegistry(root: runs)))
        }
        reporter.clear()
        if let out { try child.save(to: out, links: .followed) }
        if json {
            try printJSON(Report(report, diagnosis, recovery))
        } else {
            try print(report.text())
            if let diagnosis { try print(diagnosis.text) }
            if let recovery { try print(recovery.text) }
            if let out { try print("wrote \(out)") }
        }
    }

    private struct Report: Encodable {
        var method: String
        var grouping: String
        var calibrationTokens: Int?
        var logitChange: Double
        var bytesPerTokenBefore: Int
        var bytesPerTokenAfter: Int
        var layers: [Layer]
        var diagnosis: Diagnosis?
        var recovery: RecoveryPrediction?

        struct Layer: Encodable {
            var layer: Int
            var kvHeadsBefore: Int
            var kvHeadsAfter: Int
            var keySimilarity: Double?
            var keyNormRatio: Double?
            var valueSimilarity: Double?
            var valueNormRatio: Double?
        }

        init(_ report: ConversionReport, _ diagnosis: Diagnosis?, _ recovery: RecoveryPrediction?) {
            self.diagnosis = diagnosis
            self.recovery = recovery
            method = report.method
            grouping = report.grouping.rawValue
            calibrationTokens = report.calibrationTokens
            logitChange = report.logitChange
            bytesPerTokenBefore = report.parent.kvBytesPerToken(.float16)
            bytesPerTokenAfter = report.child.kvBytesPerToken(.float16)
            layers = report.layers.map { layer in
                Layer(
                    layer: layer.layer, kvHeadsBefore: layer.from, kvHeadsAfter: layer.to,
                    keySimilarity: layer.projections[.key]?.similarity, keyNormRatio: layer.projections[.key]?.normRatio,
                    valueSimilarity: layer.projections[.value]?.similarity, valueNormRatio: layer.projections[.value]?.normRatio)
            }
        }
    }
}

extension HeadGrouping: ExpressibleByArgument {}
