import ArgumentParser
import Checkpoints
import Console
import Files
import Foundation
import Inference
import Kernels
import Models

/// `kvlab estimate CONFIG|CHECKPOINT`
struct EstimateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "estimate",
        abstract: "Print the bytes a model's KV cache takes.",
        discussion: """
            Takes any decoder's Hugging Face config.json (or the folder it is in), also one whose weights kvlab cannot \
            use, or a checkpoint. A token takes Σ over layers of KV heads × (key width + value width) × bytes per \
            element, with the scales of a codec; layers with a sliding window stop growing at it. Pages are of the size that a \
            server chooses for the model.
            """)

    @Argument(help: "A config.json, a model folder or a checkpoint.", completion: .file())
    var model: String

    @Option(name: .long, help: "Tokens in a sequence; by default the longest the model is meant for.")
    var context: Int?

    @Option(name: .long, help: "Sequences at a time.")
    var batch = 1

    @Option(name: .long, help: "Encoding of the cache.")
    var kvDtype: KVEncoding = .float16

    @OptionGroup var results: JSONOptions

    func validate() throws {
        if let context, context < 1 { throw ValidationError("--context is \(context), expected at least 1") }
        if batch < 1 { throw ValidationError("--batch is \(batch), expected at least 1") }
    }

    private struct Report: Encodable {
        var model: String
        var modelType: String
        var layers: Int
        var kvDtype: String
        var bytesPerToken: Int
        var context: Int
        var batch: Int
        var totalBytes: Int
        /// Bytes of the pages that hold them.
        var allocatedBytes: Int
        var pageBytes: Int
        var windowedLayers: Int
    }

    func run() throws {
        let (estimate, longest, modelType) = try read()
        let context = context ?? longest ?? 1
        try estimate.layers.checkEncoding()
        let pageBytes = PageSize.bytes(for: estimate.layers)
        guard let total = estimate.bytes(context: context, batch: batch),
            let pages = PageSize.pages(tokens: context, of: estimate.layers, pageBytes: pageBytes),
            case let (ofOne, isTooMuch) = pages.multipliedReportingOverflow(by: pageBytes), !isTooMuch,
            case let (allocated, isTooMany) = ofOne.multipliedReportingOverflow(by: batch), !isTooMany
        else {
            throw ValidationError("\(batch) sequences of \(context) tokens take more bytes than can be counted")
        }
        let report = Report(
            model: model, modelType: modelType, layers: estimate.layers.count, kvDtype: kvDtype.name,
            bytesPerToken: estimate.bytesPerToken, context: context, batch: batch, totalBytes: total,
            allocatedBytes: allocated, pageBytes: pageBytes, windowedLayers: estimate.layers.count { $0.window != nil })
        if results.isJSON {
            try results.print(report)
        } else {
            try print("\(model.onOneLine): \(modelType.onOneLine), \(report.layers) layers with a KV cache in \(report.kvDtype)")
            try print("per token  \(Self.readable(report.bytesPerToken))")
            let windows = report.windowedLayers > 0 ? "  (\(report.windowedLayers) layers stop at their window)" : ""
            try print("in all     \(Self.readable(total)) for \(batch) × \(context) tokens\(windows)")
            try print("in pages   \(Self.readable(allocated)), \(ByteCount.text(pageBytes)) a page")
        }
    }

    private func read() throws -> (CacheEstimate, longest: Int?, modelType: String) {
        var isDirectory: ObjCBool = false
        let isFolder = unsafe FileManager.default.fileExists(atPath: model, isDirectory: &isDirectory) && isDirectory.boolValue
        let path = isFolder ? model + "/config.json" : model
        let file = try MappedFile(path: path)
        let start = try file.bytes(in: 0..<min(file.count, 4096))
        if start.first(where: { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }) == UInt8(ascii: "{") {
            let config = try HuggingFaceConfig(path: path)
            return (try config.cacheEstimate(kvDtype), config.maxSequence, config.modelType)
        }
        let config = try ModelImport.load(path, verify: .structure).config
        return (CacheEstimate(config, encoding: kvDtype), config.maxSequence, config.attentionLabel)
    }

    /// The exact bytes, and the bytes in the largest unit below them.
    private static func readable(_ bytes: Int) -> String {
        for (unit, size) in [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] where bytes >= size {
            return "\(bytes) bytes (\(String(format: "%.4g", Double(bytes) / Double(size))) \(unit))"
        }
        return "\(bytes) bytes"
    }
}
