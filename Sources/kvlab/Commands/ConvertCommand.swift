import ArgumentParser
import Checkpoints
import Conversion
import Experiments
import Foundation
import Kernels
import Models
import Registry
import Text
import Training

/// `kvlab convert`: fewer KV heads, or another attention.
struct ConvertCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convert",
        abstract: "Convert a checkpoint to fewer KV heads (GQA, MQA) or another attention (MLA, CLA, YOCO, windows).",
        discussion: """
            KV heads form equal groups, and each group becomes one head:
            \(list(ConversionMethods.merges))
            Without --method it is \(ConversionMethods.defaultName(calibrated: true)) with calibration text and \
            \(ConversionMethods.defaultName(calibrated: false)) without: text like what the model was trained on makes a large difference.
            Other methods change the attention itself, and need calibration text:
            \(list(ConversionMethods.all.filter { !($0 is HeadMergeMethod) }))
            A GQA checkpoint can be converted further. With as many KV heads as before the weights stay the same, bit for bit.
            Converted models lose quality until they are uptrained: 'kvlab lab' on the checkpoint converts, uptrains and compares. How much they lose \
            is measured on the end of the calibration text, which is held out, or else on text that the parent writes. After Ctrl-C, refined \
            layers lie in OUT.partial, behind which the same command goes on.
            """)

    @Argument(help: "The checkpoint to convert.", completion: .file(extensions: ["h5"]))
    var checkpoint: String

    @Option(
        help:
            "Instead of --kv-heads or --rank: cache bytes per token; KV heads are kept where a layer loses most by sharing them (needs --calibration)."
    )
    var budgetBytesPerToken: Int?

    @Option(help: "Encoding of the budget's cache.")
    var kvDtype = KVEncoding.standard

    @OptionGroup(title: "Settings of the methods")
    var settings: MethodOptions

    @Option(
        help: "The conversion: \(ConversionMethods.names.joined(separator: ", ")).", completion: .list(ConversionMethods.names))
    var method: String?

    @Option(help: "A text to look at the model's activations over: a file, a folder or a pattern in quotes.", completion: .file())
    var calibration: String?

    @OptionGroup(title: "The text's format") var textFormat: TextFormatOptions

    @Option(
        help:
            "Tokens of the calibration text to use, from its beginning. Default: what there is, up to \(Calibration.defaultTokens)."
    )
    var tokens: Int?

    @OptionGroup var threads: ThreadsOption

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

    @Flag(help: "Show what became of each layer's heads.")
    var verbose = false

    @OptionGroup var results: JSONOptions

    @OptionGroup var output: OutputOption

    /// The methods' names and summaries, one a line.
    private static func list(_ methods: [any ConversionMethod]) -> String {
        methods.map { "  \($0.name): \($0.summary)" }.joined(separator: "\n")
    }

    /// The method with the settings given.
    private func conversion() throws -> any ConversionMethod {
        try settings.method(
            named: method ?? ConversionMethods.defaultName(calibrated: calibration != nil), hasBudget: budgetBytesPerToken != nil)
    }

    func validate() throws {
        try checkRange("--tokens", tokens, from: Calibration.leastTokens)
        let method = try conversion()
        guard out != nil || diagnose else { throw ValidationError("say with --out where to write the checkpoint, or --diagnose") }
        guard within.map({ $0 > 0 && $0 <= 1000 }) ?? true else {
            throw ValidationError("--within is \(within ?? 0), expected a percentage above 0 and at most 1000")
        }
        guard diagnose || within == nil else { throw ValidationError("--within needs --diagnose, which it predicts from") }
        guard !diagnose || method is HeadMergeMethod else {
            throw ValidationError("--diagnose compares heads; '\(method.name)' merges none")
        }
        guard calibration == nil else { return }
        if let option = textFormat.given { throw ValidationError("\(option) says how --calibration is read; name a text") }
        if tokens != nil { throw ValidationError("--tokens says how much of --calibration to use; name a text") }
        var needs = diagnose ? "--diagnose" : budgetBytesPerToken != nil ? "--budget-bytes-per-token" : nil
        if case .required(let part) = method.calibrationUse { needs = part }
        if let needs { throw ValidationError(ConversionError.needsCalibration(needs).description) }
    }

    func run() throws {
        threads.apply()
        if let out { try output.check(out) }
        let parent = try ModelImport.load(checkpoint)
        let reporter = ProgressReporter(quiet: results.isJSON)
        var converter = Converter(try conversion(), seed: seed)
        try parent.config.kvGeometry(CacheEncoding(kvDtype)).check(CacheEncoding(kvDtype))
        if budgetBytesPerToken == nil {
            try converter.method.childConfig(parent.config).kvGeometry(CacheEncoding(kvDtype)).check(CacheEncoding(kvDtype))
        }
        var text = try calibration.map { path in
            CalibrationText(
                try Corpus(
                    [textFormat.source(path)],
                    chats: { () throws(ChatFault) in try ChatTemplateRenderer(of: parent, path: checkpoint) }))
        }
        if text != nil { converter.calibration = try readCalibration(of: parent, &text) }
        if let budgetBytesPerToken, let calibration = converter.calibration {
            try converter.method.spend(
                bytesPerToken: budgetBytesPerToken, kvDtype, parent.config, parent.parameters, calibration
            ) { done, count in reporter.progress("measuring what layers lose  \(done)/\(count)") }
        }
        converter.store = try out.map { ConversionStore(folder: $0 + ".partial", parent: try parent.identity()) }
        let (child, report) = try convert(parent, by: converter, reporter)
        let loss = try self.loss(parent, child, text, reporter)
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
        try converter.store?.remove()
        if results.isJSON {
            try results.print(Report(report, kvDtype, diagnosis, recovery, loss))
        } else {
            try print(report.text(encoding: report.grouping == nil ? kvDtype : .float16, isDetailed: verbose))
            if let diagnosis { try print(diagnosis.text) }
            if let recovery { try print(recovery.text) }
            if let out { try print("wrote \(out)") }
            if let loss { try print("\(loss.text)\n\(loss.advice)") }
        }
    }

    /// The conversion, until a signal: the refinement's steps done by then are kept, and the same command resumes after them.
    private func convert(
        _ parent: Checkpoint, by converter: Converter, _ reporter: ProgressReporter
    ) throws -> (Checkpoint, ConversionReport) {
        let (display, signal) = (ConversionDisplay(reporter), StopSignal())
        do {
            return try parent.converted(by: converter) { progress in
                display.show(progress)
                if signal.number != nil { throw ConversionStopped() }
            }
        } catch is ConversionStopped {
            reporter.clear()
            let isKept = converter.store.map { !$0.isEmpty } ?? false
            note(isKept ? "stopped; the same command goes on behind the steps that are done" : "stopped; nothing is kept")
            throw ExitCode(128 + (signal.number ?? SIGTERM))
        }
    }

    /// The calibration from `text`; the part held out is added where the rest would be too short.
    private func readCalibration(of parent: Checkpoint, _ text: inout CalibrationText?) throws -> Calibration? {
        guard var given = text else { return nil }
        let model = try LoadedModel(name: checkpoint, checkpoint: parent, path: checkpoint)
        var ids = model.tokenizer.encode(given.calibration)
        if ids.count < max(tokens ?? 0, Calibration.leastTokens), given.heldOut != nil {
            given.giveBack()
            ids = model.tokenizer.encode(given.calibration)
        }
        text = given
        return try Calibration(ids: ids, tokens: tokens, bosID: model.bosID, maxSequence: parent.config.maxSequence)
    }

    /// The loss of `child`, on held-out text where there is some; without calibration on the parent's own, with a warning. Nil where nothing
    /// was changed or the text is too short.
    private func loss(_ parent: Checkpoint, _ child: Checkpoint, _ text: CalibrationText?, _ reporter: ProgressReporter) throws
        -> ConversionLoss?
    {
        guard child.config != parent.config else { return nil }
        defer { reporter.clear() }
        if let text {
            guard let heldOut = text.heldOut else {
                note("the calibration text is too short to hold a part out: what the conversion loses is not measured")
                return nil
            }
            return try .heldOut(heldOut, parent: parent, child: child, path: checkpoint, reporter: reporter)
        }
        reporter.progress("measuring the loss on the parent's own text")
        var children = [child]
        // The default is no choice of the user's: what mean-pooling would lose is told where that is less.
        if method == nil {
            let mean = try settings.method(named: "mean")
            children.append(try parent.converted(by: Converter(mean, seed: seed)).0)
        }
        let losses = try ConversionLoss.onSamples(parent: parent, children: children, seed: seed)
        guard let own = losses.first else { return nil }
        reporter.clear()
        note("without --calibration FILE the conversion goes by the weights alone; \(own.text)")
        if let mean = losses.dropFirst().first, mean.childNats < own.childNats {
            note("'mean' loses less here: \(mean.text); --method mean takes it")
        }
        return own
    }

    /// A conversion's changes: of merged heads layer by layer, of another attention as a whole.
    private struct Report: Encodable {
        var method: String
        var grouping: String?
        var calibrationTokens: Int?
        var logitChange: Double?
        var bytesPerTokenBefore: Int
        var bytesPerTokenAfter: Int
        var layers: [ConversionReport.Layer]?
        var diagnosis: Diagnosis?
        var recovery: RecoveryPrediction?
        var attentionBefore: String?
        var attentionAfter: String?
        var refined: Bool?
        var context: Int?
        var bytesAtContextBefore: Int?
        var bytesAtContextAfter: Int?
        var parametersBefore: Int?
        var parametersAfter: Int?
        var loss: ConversionLoss?
        var advice: String?

        init(
            _ report: ConversionReport, _ kvDtype: KVEncoding, _ diagnosis: Diagnosis?, _ recovery: RecoveryPrediction?,
            _ loss: ConversionLoss?
        ) {
            (self.loss, advice) = (loss, loss?.advice)
            let (parent, child) = (report.parent, report.child)
            let type = report.grouping == nil ? CacheEncoding(kvDtype) : .float16
            self.diagnosis = diagnosis
            self.recovery = recovery
            method = report.method
            calibrationTokens = report.calibrationTokens
            bytesPerTokenBefore = parent.kvBytesPerToken(type)
            bytesPerTokenAfter = child.kvBytesPerToken(type)
            guard let grouping = report.grouping else {
                let context = parent.maxSequence
                (attentionBefore, attentionAfter) = (parent.attentionLabel, child.attentionLabel)
                (refined, self.context) = (report.isRefined, context)
                (bytesAtContextBefore, bytesAtContextAfter) = (
                    parent.kvBytes(type, tokens: context), child.kvBytes(type, tokens: context)
                )
                (parametersBefore, parametersAfter) = (parent.parameterCount, child.parameterCount)
                return
            }
            self.grouping = grouping.rawValue
            logitChange = report.logitChange
            layers = report.layers
        }
    }
}
