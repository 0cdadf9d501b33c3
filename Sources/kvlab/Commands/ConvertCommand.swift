import ArgumentParser
import Checkpoints
import Conversion
import Experiments
import Foundation
import Kernels

/// `kvlab convert`: fewer KV heads.
struct ConvertCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convert", abstract: "Convert a checkpoint to fewer KV heads (GQA, MQA).",
        discussion: """
            KV heads form equal groups, and each group becomes one head:
            \(ConversionMethods.all.map { "  \($0.name): \($0.summary)" }.joined(separator: "\n"))
            Without --method it is \(ConversionMethods.defaultName(calibrated: true)) with calibration text and \
            \(ConversionMethods.defaultName(calibrated: false)) without: text like what the model was trained on makes a large difference.
            A GQA checkpoint can be converted further. With as many KV heads as before the weights stay the same, bit for bit.
            Converted models lose quality until they are uptrained: see 'kvlab train' with "init" and "uptrain".
            """)

    @Argument(help: "The checkpoint to convert.", completion: .file(extensions: ["h5"]))
    var checkpoint: String

    @Option(name: .customLong("kv-heads"), help: "KV heads of every layer afterwards; divides the checkpoint's.")
    var kvHeads: Int

    @Option(
        help: "How a group becomes one head: \(ConversionMethods.names.joined(separator: ", ")).",
        completion: .list(ConversionMethods.names))
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
    var out: String

    @Flag(help: "Print what changed as JSON.")
    var json = false

    private var methodName: String { method ?? ConversionMethods.defaultName(calibrated: calibration != nil) }

    func validate() throws {
        guard let method = ConversionMethods.named(methodName) else {
            throw ValidationError(ConversionError.unknownMethod(methodName).description)
        }
        guard kvHeads >= 1 else { throw ValidationError("--kv-heads is \(kvHeads), expected at least 1") }
        guard tokens.map({ $0 >= Calibration.leastTokens }) ?? true else {
            throw ValidationError("--tokens is \(tokens ?? 0), expected at least \(Calibration.leastTokens)")
        }
        guard threads.map({ $0 >= 1 }) ?? true else { throw ValidationError("--threads must be at least 1") }
        guard calibration == nil else { return }
        if tokens != nil { throw ValidationError("--tokens says how much of --calibration to use; name a text") }
        if type(of: method).refines || grouping == .activation {
            throw ValidationError(
                ConversionError.needsCalibration(
                    grouping == .activation ? "--grouping activation" : "--method \(methodName)"
                ).description)
        }
    }

    func run() throws {
        if let threads { Parallel.setThreads(threads) }
        guard let method = ConversionMethods.named(methodName) else { throw ConversionError.unknownMethod(methodName) }
        let parent = try Checkpoint.load(checkpoint, trainingState: false)
        var converter = Converter(kvHeads: kvHeads, method: method, grouping: grouping, seed: seed)
        if let calibration {
            let model = try LoadedModel(name: checkpoint, checkpoint: parent, path: checkpoint)
            let text = try TextFile.read(calibration)
            converter.calibration = try Calibration(
                ids: model.tokenizer.encode(text), tokens: tokens, bosID: model.bosID, maxSequence: parent.config.maxSequence)
        }
        let reporter = ProgressReporter(quiet: json)
        let (child, report) = try parent.converted(by: converter) { step in reporter.progress(step) }
        try child.save(to: out)
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            print(String(decoding: try encoder.encode(Report(report)), as: UTF8.self))
        } else {
            print(report.text())
            print("wrote \(out)")
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

        struct Layer: Encodable {
            var layer: Int
            var kvHeadsBefore: Int
            var kvHeadsAfter: Int
            var keySimilarity: Double?
            var keyNormRatio: Double?
            var valueSimilarity: Double?
            var valueNormRatio: Double?
        }

        init(_ report: ConversionReport) {
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
