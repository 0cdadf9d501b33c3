import Files
import Foundation

/// One model's line in a comparison.
public struct ComparisonRow: Sendable, Codable, Hashable {
    /// The model's name.
    public var name: String
    /// MHA, GQA-2, MQA, or the layers' own.
    public var attention: String
    /// Cache bytes a token takes over all layers.
    public var kvBytesPerToken: Int
    /// Bytes of the pages allocated for a token, where they were counted or measured.
    public var allocatedBytesPerToken: Double?
    /// Cache bytes at the table's context and batch.
    public var cacheBytes: Int
    /// Parameters, a tied embedding counted once.
    public var parameters: Int
    /// Perplexity before uptraining, where there was one.
    public var perplexityBefore: Double?
    /// Bits per byte before uptraining, where there was one.
    public var bitsPerByteBefore: Double?
    /// Perplexity; nil where the table's models have different tokenizers.
    public var perplexity: Double?
    /// Bits per byte.
    public var bitsPerByte: Double
    /// Bits per byte minus the first model's; positive is worse.
    public var difference: Double?
    /// Standard error of the difference, paired over windows.
    public var standardError: Double?
    /// Mean KL divergence from the first model's predictions in nats per token, where the vocabularies agree.
    public var klDivergence: Double?
    /// Tokens it was uptrained on, where it was.
    public var uptrainedTokens: Int?
    /// Wall-clock seconds of its training, where it is known.
    public var wallSeconds: Double?
    /// Whether it belongs to the first model's architecture family as a control.
    public var isControl: Bool?
}

/// A comparison of models on one text; the first row is the reference of the others.
public struct ComparisonTable: ResultTable, Codable, Hashable {
    /// The scored text and the window policy, in words.
    public var text: String
    /// Context tokens of ``ComparisonRow/cacheBytes``.
    public var contextTokens: Int
    /// Sequences of ``ComparisonRow/cacheBytes``.
    public var batch: Int
    /// Element type of the cache figures: fp32, fp16 or bf16.
    public var kvDtype: String
    /// The models.
    public var rows: [ComparisonRow]
    /// The difference between logical and allocated bytes, in words; nil where only one of them is there.
    public var bytesNote: String?
    /// The smallest cache within a limit of the first model's quality; nil where none was asked for.
    public var recommendation: Recommendation?
    /// The models on tasks; nil where none were asked for.
    public var tasks: TaskTable?

    /// Columns that no row fills are left out.
    public var columns: [TableColumn] {
        func column(_ title: String, leading: Bool = false, _ cell: (ComparisonRow) -> String?) -> TableColumn? {
            TableColumn.filled(title, rows, leading: leading, cell)
        }
        func decimal(_ value: Double?, _ digits: Int) -> String? { value.map { String(format: "%.\(digits)f", $0) } }
        let all: [TableColumn?] = [
            TableColumn(title: "model", cells: rows.map(\.name), leading: true),
            TableColumn(title: "attention", cells: rows.map(\.attention), leading: true),
            column("KV bytes/token") { groupedDigits($0.kvBytesPerToken) },
            column("allocated") { $0.allocatedBytesPerToken.map { groupedDigits(Int($0.rounded())) } },
            column("cache at \(contextTokens)×\(batch)") { byteCountText($0.cacheBytes) },
            column("parameters") { groupedDigits($0.parameters) },
            column("ppl before") { decimal($0.perplexityBefore, 3) },
            column("bits/byte before") { decimal($0.bitsPerByteBefore, 4) },
            column("ppl") { decimal($0.perplexity, 3) },
            column("bits/byte") { decimal($0.bitsPerByte, 4) },
            column("difference") { $0.difference.map { String(format: "%+.4f", $0) } },
            column("± s.e.") { decimal($0.standardError, 4) },
            column("KL (nats)") { decimal($0.klDivergence, 4) },
            column("uptrained tokens") { $0.uptrainedTokens.map(groupedDigits) },
            column("wall") { $0.wallSeconds.map(ProgressReporter.duration) },
        ]
        return all.compactMap { $0 }
    }

    /// The meaning of the figures, in one sentence.
    public var caption: String {
        "\(text); cache in \(kvDtype); differences are to \(rows.first?.name ?? "the first"), paired over windows."
            + (bytesNote.map { " \($0)" } ?? "")
    }

    /// Every figure in full, one line a model.
    public var csv: String {
        Self.csv(
            rows,
            [
                "name": { $0.name }, "attention": { $0.attention }, "kv_bytes_per_token": { $0.kvBytesPerToken },
                "cache_bytes": { $0.cacheBytes }, "parameters": { $0.parameters }, "perplexity_before": { $0.perplexityBefore },
                "bits_per_byte_before": { $0.bitsPerByteBefore }, "perplexity": { $0.perplexity },
                "bits_per_byte": { $0.bitsPerByte }, "difference": { $0.difference }, "standard_error": { $0.standardError },
                "kl_divergence": { $0.klDivergence }, "uptrained_tokens": { $0.uptrainedTokens },
                "wall_seconds": { $0.wallSeconds }, "allocated_bytes_per_token": { $0.allocatedBytesPerToken },
            ])
    }
}

extension ComparisonTable {
    /// The table that ``ResultTable/json`` wrote.
    public init(json: String) throws {
        self = try CanonicalJSON.value(ComparisonTable.self, from: Data(json.utf8))
    }
}

/// A byte count in binary units, three significant digits.
public func byteCountText(_ bytes: Int) -> String {
    var value = Double(bytes)
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024 {
            return unit == "B"
                ? "\(bytes) B"
                : String(format: value < 10 ? "%.2f \(unit)" : value < 100 ? "%.1f \(unit)" : "%.0f \(unit)", value)
        }
        value /= 1024
    }
    return String(format: "%.2f TiB", value)
}

/// A count with its digits in groups of three.
public func groupedDigits(_ value: Int) -> String {
    let digits = String(value.magnitude)
    let groups = stride(from: digits.count, to: 0, by: -3).map { end in
        digits.dropFirst(max(0, end - 3)).prefix(min(3, end))
    }
    return (value < 0 ? "-" : "") + groups.reversed().joined(separator: ",")
}
