import Foundation

/// One model's line in a comparison.
public struct ComparisonRow: Sendable, Codable, Hashable {
    /// The model's name.
    public var name: String
    /// MHA, GQA-2, MQA, or what the layers have.
    public var attention: String
    /// Cache bytes a token takes over all layers.
    public var kvBytesPerToken: Int
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

    /// A row; a figure left at nil is shown as a dash, and a column that no row fills is left out.
    public init(
        name: String, attention: String, kvBytesPerToken: Int, cacheBytes: Int, parameters: Int, perplexityBefore: Double? = nil,
        bitsPerByteBefore: Double? = nil, perplexity: Double?, bitsPerByte: Double, difference: Double? = nil,
        standardError: Double? = nil, klDivergence: Double? = nil, uptrainedTokens: Int? = nil, wallSeconds: Double? = nil,
        isControl: Bool? = nil
    ) {
        self.name = name
        self.attention = attention
        self.kvBytesPerToken = kvBytesPerToken
        self.cacheBytes = cacheBytes
        self.parameters = parameters
        self.perplexityBefore = perplexityBefore
        self.bitsPerByteBefore = bitsPerByteBefore
        self.perplexity = perplexity
        self.bitsPerByte = bitsPerByte
        self.difference = difference
        self.standardError = standardError
        self.klDivergence = klDivergence
        self.uptrainedTokens = uptrainedTokens
        self.wallSeconds = wallSeconds
        self.isControl = isControl
    }
}

/// A comparison of models on one text; the first row is what the others are measured against.
public struct ComparisonTable: Sendable, Codable, Hashable {
    /// What was scored and how, in words.
    public var text: String
    /// Context tokens of ``ComparisonRow/cacheBytes``.
    public var contextTokens: Int
    /// Sequences of ``ComparisonRow/cacheBytes``.
    public var batch: Int
    /// Element type of the cache figures: fp32, fp16 or bf16.
    public var kvDtype: String
    /// The models.
    public var rows: [ComparisonRow]

    /// A table of `rows`, the reference first; `contextTokens`, `batch` and `kvDtype` say what their cache bytes are of.
    public init(text: String, contextTokens: Int, batch: Int, kvDtype: String, rows: [ComparisonRow]) {
        self.text = text
        self.contextTokens = contextTokens
        self.batch = batch
        self.kvDtype = kvDtype
        self.rows = rows
    }

    struct Column {
        var title: String
        var cells: [String]
        var leading = false
    }

    /// Columns that no row fills are left out.
    var columns: [Column] {
        func filled(_ title: String, _ value: (ComparisonRow) -> String?) -> Column? {
            let cells = rows.map(value)
            return cells.contains { $0 != nil } ? Column(title: title, cells: cells.map { $0 ?? "–" }) : nil
        }
        func decimal(_ value: Double?, _ digits: Int) -> String? { value.map { String(format: "%.\(digits)f", $0) } }
        func signed(_ value: Double?) -> String? { value.map { String(format: "%+.4f", $0) } }
        let all: [Column?] = [
            Column(title: "model", cells: rows.map(\.name), leading: true),
            Column(title: "attention", cells: rows.map(\.attention), leading: true),
            filled("KV bytes/token") { groupedDigits($0.kvBytesPerToken) },
            filled("cache at \(contextTokens)×\(batch)") { byteCountText($0.cacheBytes) },
            filled("parameters") { groupedDigits($0.parameters) },
            filled("ppl before") { decimal($0.perplexityBefore, 3) },
            filled("bits/byte before") { decimal($0.bitsPerByteBefore, 4) },
            filled("ppl") { decimal($0.perplexity, 3) },
            filled("bits/byte") { decimal($0.bitsPerByte, 4) },
            filled("difference") { signed($0.difference) },
            filled("± s.e.") { decimal($0.standardError, 4) },
            filled("KL (nats)") { decimal($0.klDivergence, 4) },
            filled("uptrained tokens") { $0.uptrainedTokens.map(groupedDigits) },
            filled("wall") { $0.wallSeconds.map(ProgressReporter.duration) },
        ]
        return all.compactMap { $0 }
    }

    /// Aligned columns for a terminal.
    public var plain: String { [caption, "", Self.plain(columns, rows: rows.count)].joined(separator: "\n") }

    static func plain(_ columns: [Column], rows: Int) -> String {
        let widths = columns.map { column in ([column.title] + column.cells).map(\.count).max() ?? 0 }
        func line(_ cells: [String]) -> String {
            zip(cells, zip(columns, widths)).map { cell, layout in
                let padding = String(repeating: " ", count: layout.1 - cell.count)
                return layout.0.leading ? cell + padding : padding + cell
            }.joined(separator: "  ")
        }
        let body = (0..<rows).map { row in line(columns.map { $0.cells[row] }) }
        return ([line(columns.map(\.title)), line(widths.map { String(repeating: "─", count: $0) })] + body)
            .joined(separator: "\n")
    }

    /// A Markdown table.
    public var markdown: String { [Self.markdown(columns, rows: rows.count), "", caption].joined(separator: "\n") }

    static func markdown(_ columns: [Column], rows: Int) -> String {
        func line(_ cells: [String]) -> String {
            "| " + cells.map { $0.replacing("|", with: "\\|") }.joined(separator: " | ") + " |"
        }
        let body = (0..<rows).map { row in line(columns.map { $0.cells[row] }) }
        return ([line(columns.map(\.title)), line(columns.map { $0.leading ? "---" : "---:" })] + body).joined(separator: "\n")
    }

    /// What the figures are, in one sentence.
    public var caption: String {
        "\(text); cache in \(kvDtype); differences are to \(rows.first?.name ?? "the first"), paired over windows."
    }

    /// Every figure in full, one line a model, as RFC 4180 has it; nothing between commas where there is no figure.
    public var csv: String {
        func quoted(_ text: String) -> String {
            text.contains { "\",\n\r".contains($0) } ? "\"" + text.replacingOccurrences(of: "\"", with: "\"\"") + "\"" : text
        }
        func number(_ value: Double?) -> String { value.map { "\($0)" } ?? "" }
        let head = [
            "name", "attention", "kv_bytes_per_token", "cache_bytes", "parameters", "perplexity_before", "bits_per_byte_before",
            "perplexity", "bits_per_byte", "difference", "standard_error", "kl_divergence", "uptrained_tokens", "wall_seconds",
        ]
        let lines = rows.map { row in
            [
                quoted(row.name), quoted(row.attention), "\(row.kvBytesPerToken)", "\(row.cacheBytes)", "\(row.parameters)",
                number(row.perplexityBefore), number(row.bitsPerByteBefore), number(row.perplexity), number(row.bitsPerByte),
                number(row.difference), number(row.standardError), number(row.klDivergence),
                row.uptrainedTokens.map { "\($0)" } ?? "", number(row.wallSeconds),
            ].joined(separator: ",")
        }
        return ([head.joined(separator: ",")] + lines).joined(separator: "\r\n") + "\r\n"
    }

    /// The table as JSON with stable keys; a figure that is no finite number is the string "nan", "inf" or "-inf".
    public var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        // Encoding plain values cannot fail.
        let data = (try? encoder.encode(self)) ?? Data()
        return String(decoding: data, as: UTF8.self)
    }

    /// Reads what ``json`` wrote.
    public init(json: String) throws {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        self = try decoder.decode(ComparisonTable.self, from: Data(json.utf8))
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
