import Foundation
import Models

/// The model card (README.md) of an exported model: its architecture, lineage, licence and recipe.
enum ModelCard {
    /// The card's Markdown; `library` is the one that loads the export.
    static func text(_ checkpoint: Checkpoint, library: String) -> String {
        let (config, lineage) = (checkpoint.config, checkpoint.lineage)
        var front = ["library_name: \(library)", "pipeline_tag: text-generation", "tags: [kvlab]"]
        if let license = checkpoint.tokenIDs.license { front.insert("license: \(license)", at: 0) }
        var lines = ["---"] + front + ["---", "", "# \(lineage.name ?? "A model by kvlab")", ""]
        lines += [
            "| | |", "| --- | --- |", "| attention | \(config.attentionLabel) |", "| parameters | \(config.parameterCount) |",
            "| layers, hidden size | \(config.layers), \(config.hiddenSize) |",
            "| longest sequence | \(config.maxSequence) tokens |",
            "| KV cache | \(config.kvBytesPerToken(.float16)) bytes per token in fp16 |", "", "## Lineage", "",
        ]
        let facts: [(String, String?)] = [
            ("content hash", lineage.contentHash), ("parent's content hash", lineage.parentHash),
            ("imported from", lineage.source),
            ("conversion", lineage.conversion), ("tokens trained on", lineage.tokensSeen > 0 ? "\(lineage.tokensSeen)" : nil),
            ("optimizer steps", lineage.steps > 0 ? "\(lineage.steps)" : nil), ("written by", lineage.toolVersion),
        ]
        for (name, fact) in facts { if let fact { lines.append("- \(name): \(fact)") } }
        for change in lineage.changedInputs ?? [] { lines.append("- \(change.text)") }
        lines.append(
            checkpoint.tokenIDs.license.map { "- licence of the model it was made from: \($0)" }
                ?? "- licence: the files it was made from name none; the parent's terms apply")
        if let figures = lineage.figures {
            lines += [
                "", "## Figures", "", "On the validation text of the run that made it:", "", "| | |", "| --- | ---: |",
                String(format: "| loss, nats per token | %.5f |", figures.validationLoss),
                String(format: "| perplexity | %.4f |", exp(figures.validationLoss)),
                String(format: "| bits per byte | %.5f |", figures.validationBitsPerByte),
            ]
        }
        if let recipe = lineage.recipe {
            lines += ["", "## Recipe", "", "```json"] + [recipe.replacingOccurrences(of: "```", with: "` ` `"), "```"]
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
