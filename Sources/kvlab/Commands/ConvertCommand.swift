import ArgumentParser
import Checkpoints
import Conversion
import Foundation
import Kernels

/// `kvlab convert`: fewer KV heads.
struct ConvertCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convert", abstract: "Convert a checkpoint to fewer KV heads (GQA, MQA).",
        discussion: """
            Neighbouring KV heads form equal groups, and each group becomes one head:
            \(ConversionMethods.all.map { "  \($0.name): \($0.summary)" }.joined(separator: "\n"))
            A GQA checkpoint can be pooled further. With as many KV heads as before the weights stay the same, bit for bit.
            Converted models lose quality until they are uptrained: see 'kvlab train' with "init" and "uptrain".
            """)

    @Argument(help: "The checkpoint to convert.", completion: .file(extensions: ["h5"]))
    var checkpoint: String

    @Option(name: .customLong("kv-heads"), help: "KV heads of every layer afterwards; divides the checkpoint's.")
    var kvHeads: Int

    @Option(
        help: "How a group becomes one head: \(ConversionMethods.names.joined(separator: ", ")).",
        completion: .list(ConversionMethods.names))
    var method = ConversionMethods.names[0]

    @Option(help: "Seed for methods that draw random numbers.")
    var seed: UInt64 = 0

    @Option(help: "Where to write the converted checkpoint.", completion: .file(extensions: ["h5"]))
    var out: String

    @Flag(help: "Print what changed as JSON.")
    var json = false

    func validate() throws {
        guard ConversionMethods.named(method) != nil else {
            throw ValidationError(ConversionError.unknownMethod(method).description)
        }
        guard kvHeads >= 1 else { throw ValidationError("--kv-heads is \(kvHeads), expected at least 1") }
    }

    func run() throws {
        guard let method = ConversionMethods.named(method) else { throw ConversionError.unknownMethod(method) }
        let parent = try Checkpoint.load(checkpoint, trainingState: false)
        let (child, report) = try parent.converted(kvHeads: kvHeads, method: method, seed: seed)
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
