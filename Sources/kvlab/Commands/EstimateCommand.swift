import ArgumentParser
import Checkpoints
import Console
import Conversion
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
            server chooses for the model. Tokens that wait for their block to be encoded are counted unrounded. With the options of \
            'kvlab convert' it is the model so converted, its weights unread: --kv-heads 1, or --method mla --rank 96.
            """)

    @Argument(help: "A config.json, a model folder or a checkpoint.", completion: .file())
    var model: String

    @Option(name: .long, help: "Tokens in a sequence; by default the longest the model is meant for.")
    var context: Int?

    @Option(name: .long, help: "Sequences at a time.")
    var batch = 1

    @Option(name: .long, help: "Encoding of the cache.")
    var kvDtype = CacheEncoding.standard

    @Option(name: .long, help: "Newest tokens left unrounded by an encoding of blocks of tokens, as serve has them. Default: 0.")
    var kvResidual = 0

    @Option(
        help: "Estimate the model converted by one of \(ConversionMethods.names.joined(separator: ", ")).",
        completion: .list(ConversionMethods.names))
    var method: String?

    @OptionGroup(title: "Settings of the methods")
    var settings: MethodOptions

    @OptionGroup var results: JSONOptions

    func validate() throws {
        try checkRange("--context", context)
        do { _ = try kvDtype.with(residual: kvResidual) } catch { throw ValidationError("--kv-residual: \(error)") }
        try checkRange("--batch", batch)
        _ = try conversion()
    }

    /// The conversion that the options describe; nil for the model as it is. Every merge of heads leaves the same bytes.
    private func conversion() throws -> (any ConversionMethod)? {
        guard method != nil || !settings.isEmpty else { return nil }
        return try settings.method(named: method ?? ConversionMethods.defaultName(calibrated: true))
    }

    private struct Report: Encodable {
        var model: String
        var modelType: String
        /// The conversion estimated, the child's attention and the bytes of a token before it.
        var method: String?
        var attention: String?
        var parentBytesPerToken: Int?
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
        let parent = try read()
        let conversion = try conversion()
        let child = try conversion.map { try $0.childConfig(parent.config()) }
        let encoding = try kvDtype.with(residual: kvResidual)
        let layers = child?.kvGeometry(encoding) ?? parent.layers
        let context = context ?? parent.longest ?? 1
        try layers.check(encoding)
        let pageBytes = PageSize.bytes(for: layers)
        guard let total = layers.bytes(context: context, batch: batch),
            let pages = PageSize.pages(tokens: context, of: layers, pageBytes: pageBytes),
            case let (ofOne, isTooMuch) = pages.multipliedReportingOverflow(by: pageBytes), !isTooMuch,
            case let (allocated, isTooMany) = ofOne.multipliedReportingOverflow(by: batch), !isTooMany
        else {
            throw ValidationError("\(batch) sequences of \(context) tokens take more bytes than can be counted")
        }
        let report = Report(
            model: model, modelType: parent.modelType, method: conversion?.name, attention: child?.attentionLabel,
            parentBytesPerToken: conversion == nil ? nil : parent.layers.bytesPerToken, layers: layers.count,
            kvDtype: kvDtype.name,
            bytesPerToken: layers.bytesPerToken, context: context, batch: batch, totalBytes: total,
            allocatedBytes: allocated, pageBytes: pageBytes, windowedLayers: layers.count { $0.window != nil })
        if results.isJSON {
            try results.print(report)
        } else {
            let converted = child.map { ", converted to \($0.attentionLabel)" } ?? ""
            try print(
                "\(model.onOneLine): \(report.modelType.onOneLine)\(converted), \(report.layers) layers with a KV cache in \(report.kvDtype)"
            )
            let before = report.parentBytesPerToken.map {
                ", \(String(format: "%.3g", 100 * Double(report.bytesPerToken) / Double($0))) % of the \($0) before"
            }
            try print("per token  \(Self.readable(report.bytesPerToken))\(before ?? "")")
            let windows = report.windowedLayers > 0 ? "  (\(report.windowedLayers) layers stop at their window)" : ""
            try print("in all     \(Self.readable(total)) for \(batch) × \(context) tokens\(windows)")
            try print("in pages   \(Self.readable(allocated)), \(ByteCount.text(pageBytes)) a page")
        }
    }

    /// The model as it is; `config` throws for a model that kvlab can only estimate.
    private func read() throws -> (layers: [KVGeometry], longest: Int?, modelType: String, config: () throws -> ModelConfig) {
        let encoding = try kvDtype.with(residual: kvResidual)
        let path = FolderListing.isFolder(model) ? model + "/config.json" : model
        let file = try MappedFile(path: path)
        let start = try file.bytes(in: 0..<min(file.count, 4096))
        if start.first(where: { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }) == UInt8(ascii: "{") {
            let config = try HuggingFaceConfig(path: path)
            return (
                try config.kvGeometry(encoding), config.maxSequence, config.modelType, { try config.modelConfig() }
            )
        }
        let config = try ModelImport.load(path, verify: .structure).config
        return (config.kvGeometry(encoding), config.maxSequence, config.attentionLabel, { config })
    }

    /// The exact bytes, and the bytes in the largest unit below them.
    private static func readable(_ bytes: Int) -> String {
        for (unit, size) in [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] where bytes >= size {
            return "\(bytes) bytes (\(String(format: "%.4g", Double(bytes) / Double(size))) \(unit))"
        }
        return "\(bytes) bytes"
    }
}
