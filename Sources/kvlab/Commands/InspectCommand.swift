import ArgumentParser
import Checkpoints
import Console
import Files
import Foundation
import Kernels
import Models

/// `kvlab inspect FILE [--json]`
struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Print what is in a checkpoint, having checked every byte of it.",
        discussion: """
            Shows configuration, lineage, tokenizer, training state, and each tensor with shape, element type and the \
            start of its SHA-256, unless with --summary. A damaged, cut or foreign file is an error saying what is wrong. Hugging Face folders are \
            shown the same way.
            """)

    @Argument(help: "A checkpoint file or a model folder.", completion: .file())
    var file: String

    @Flag(help: "Leave the tensors out.")
    var summary = false

    @OptionGroup var results: JSONOptions

    private struct Tensor: Encodable {
        var name: String
        var shape: [Int]
        var elementType: String
        var sha256: String
    }

    private struct Report: Encodable {
        var config: ModelConfig
        var lineage: Lineage
        var tokenIDs: TokenIDs
        var tokenizer: String?
        var tokenizerBytes: Int?
        var trainingArrays: Int?
        var trainingState: String?
        var parameters: Int
        var weightBytes: Int
        var verified: Bool
        var tensorCount: Int
        /// Nil in a summary.
        var tensors: [Tensor]?
    }

    func run() throws {
        let checkpoint = try ModelImport.load(file, trainingState: true)
        let weights = checkpoint.parameters.names.compactMap { name in checkpoint.parameters[name].map { (name, $0) } }
        let report = Report(
            config: checkpoint.config, lineage: checkpoint.lineage, tokenIDs: checkpoint.tokenIDs,
            tokenizer: checkpoint.tokenizer?.kind, tokenizerBytes: checkpoint.tokenizer?.bytes.count,
            trainingArrays: checkpoint.trainingState?.arrays.count, trainingState: checkpoint.trainingState?.json,
            parameters: checkpoint.parameters.count, weightBytes: weights.reduce(0) { $0 + $1.1.byteCount },
            // Loading has verified a checkpoint's digests; a folder has none.
            verified: checkpoint.lineage.contentHash != nil, tensorCount: weights.count,
            tensors: summary
                ? nil
                : weights.map { name, weight in
                    let digest = unsafe weight.withUnsafeBytes { unsafe SHA256Digest(of: $0).hex }
                    return Tensor(name: name, shape: weight.shape, elementType: weight.elementType.rawValue, sha256: digest)
                })
        if results.isJSON { try results.print(report) } else { try print(text(report)) }
    }

    private func text(_ report: Report) -> String {
        let config = report.config
        func each(_ setting: PerLayer<Int>) -> String {
            setting.uniform.map(String.init) ?? (0..<config.layers).map { String(setting[$0]) }.joined(separator: ",")
        }
        let ids = report.tokenIDs
        let tokenizer = report.tokenizer.map { "\($0.onOneLine), \(report.tokenizerBytes ?? 0) bytes" } ?? "none"
        let (bos, eos) = (ids.bos.map(String.init) ?? "none", ids.eos.map(String.init).joined(separator: ","))
        let tied = config.tiedEmbeddings ? ", tied" : ""
        let parts = config.partsBeyondLlama.map { ", \($0)" }.joined()
        let cache = config.kvBytesPerToken(.float16)
        var lines: [String] = [file.onOneLine, ""]
        lines.append(
            "layers \(config.layers), hidden \(config.hiddenSize), feed-forward \(config.feedForwardSize), vocabulary \(config.vocabularySize)\(tied)"
        )
        lines.append(
            "heads \(each(config.heads)), KV heads \(each(config.kvHeads)), head dim \(each(config.headDim)), longest sequence \(config.maxSequence)"
        )
        let rope = config.rotaryDim(0) == 0 ? "" : "RoPE base \(config.ropeTheta), "
        lines.append("\(rope)\(config.hasLayerNorm == true ? "LayerNorm" : "RMSNorm") epsilon \(config.normEpsilon)\(parts)")
        lines.append(
            "\(report.parameters) parameters, \(report.weightBytes) bytes, \(cache) bytes of KV cache per token in fp16")
        lines.append("tokenizer \(tokenizer), BOS \(bos), EOS \(eos)")
        lines += ["", "lineage"]
        let lineage = report.lineage
        let facts: [(String, String?)] = [
            ("content hash", lineage.contentHash), ("parent", lineage.parentHash), ("name", lineage.name),
            ("source", lineage.source), ("conversion", lineage.conversion), ("tokens seen", "\(lineage.tokensSeen)"),
            ("steps", "\(lineage.steps)"), ("written by", lineage.toolVersion),
        ]
        for (name, value) in facts { if let value { lines.append("  \(name): \(value.onOneLine)") } }
        // The only fact of several lines, indented further so that its lines cannot pass for facts.
        if let recipe = lineage.recipe { lines.append("  recipe: " + recipe.replacing("\n", with: "\n    ")) }
        for input in lineage.inputs?.inputs ?? [] {
            let place = input.path.map { "\($0), " } ?? ""
            lines.append("  " + "input \(input.key): \(place)SHA-256 \(input.sha256)".onOneLine)
        }
        if let training = lineage.training {
            lines.append(
                "  training: \(training.steps) steps\(training.baseSteps.map { " (of \($0))" } ?? "") of \(training.batch) × \(training.seq) tokens, "
                    + "\(training.schedule.shape.rawValue) schedule, next sample \(training.nextSample)")
        }
        for change in lineage.changedInputs ?? [] { lines.append("  " + change.text.onOneLine) }
        for (name, value) in (lineage.notes ?? [:]).sorted(by: { $0.key < $1.key }) {
            lines.append("  \(name.onOneLine): \(value.onOneLine)")
        }
        if let arrays = report.trainingArrays {
            lines += ["", "training state: \(arrays) arrays, \(report.trainingState?.utf8.count ?? 0) bytes of JSON"]
        }
        let state = report.verified ? "tensors, all as they were written" : "tensors"
        guard let tensors = report.tensors else {
            return (lines + ["", "\(report.tensorCount) \(state)"]).joined(separator: "\n")
        }
        lines += ["", state]
        let width = tensors.map(\.name.onOneLine.count).max() ?? 0
        for tensor in tensors {
            let name = tensor.name.onOneLine.padding(toLength: width, withPad: " ", startingAt: 0)
            lines.append("  \(name)  \(tensor.elementType)  \(tensor.sha256.prefix(12))  \(tensor.shape)")
        }
        return lines.joined(separator: "\n")
    }
}
