import Foundation

/// What a sweep found.
public struct SweepResults: Sendable, Codable, Hashable {
    /// The sweep's name.
    public var name: String
    /// What was scored and how, in words.
    public var text: String
    /// Element type of the cache figures.
    public var kvDtype: String
    /// Every trained model.
    public var points: [SweepPoint]
    /// Models over their seeds.
    public var summaries: [SweepSummary]
    /// How long decoding takes a token, where it was timed.
    public var timing: DecodeTiming?
    /// Whether the tokens to recovery can be predicted from what is known before training, judged on these runs.
    public var predictions: [RecoveryJudgement] = []
    /// Whether uptrainings of one child for several shares are one trajectory.
    public var sharesTrajectories = false
    /// The machine it was run on.
    public var machine: String
    /// When, UTC.
    public var date: String
    /// The sweep's recipe, every default filled in, as JSON.
    public var recipe = ""

    /// Results of `points`, summed up; the machine and date are this one and now.
    public init(name: String, text: String, kvDtype: String, points: [SweepPoint], timing: DecodeTiming? = nil) {
        self.name = name
        self.text = text
        self.kvDtype = kvDtype
        self.points = points
        self.timing = timing
        summaries = SweepSummary.all(points)
        machine = MachineDescription.text
        date = MachineDescription.date
    }

    /// With stable keys; a figure that is no finite number is the string "nan", "inf" or "-inf".
    public var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        // Encoding plain values cannot fail.
        return String(decoding: (try? encoder.encode(self)) ?? Data(), as: UTF8.self)
    }

    /// One line a model, as RFC 4180 has it.
    public var csv: String {
        func number(_ value: Double?) -> String { value.map { "\($0)" } ?? "" }
        let head = [
            "kind", "attention", "architecture", "kv_heads", "method", "alpha", "seed", "uptrain_seed", "kv_bytes_per_token",
            "measured_cache_bytes_per_token", "parameters", "tokens", "tokens_per_parameter", "bits_per_byte_before",
            "bits_per_byte", "difference", "standard_error", "to_continued", "to_continued_error", "kl_divergence", "seconds",
            "folder", "model",
        ]
        let lines = points.map { point in
            [
                point.kind.rawValue, point.attention.contains(" ") ? "\"\(point.attention)\"" : point.attention,
                point.architecture ?? "", point.kvHeads.map(String.init) ?? "", point.method ?? "", "\(point.alpha)",
                "\(point.seed)", point.uptrainSeed.map(String.init) ?? "", "\(point.kvBytesPerToken)",
                number(point.cache?.bytesPerToken), "\(point.parameters)", "\(point.tokens)", "\(point.tokensPerParameter)",
                number(point.bitsPerByteBefore), "\(point.bitsPerByte)", number(point.difference),
                number(point.standardError), number(point.toContinued), number(point.toContinuedError),
                number(point.klDivergence), number(point.seconds), point.folder, point.model,
            ].joined(separator: ",")
        }
        return ([head.joined(separator: ",")] + lines).joined(separator: "\r\n") + "\r\n"
    }

    /// What the figures are, in words.
    public var caption: String {
        let counts = Set(summaries.map(\.bitsPerByte.n)).sorted().map(String.init).joined(separator: " or ")
        let deviations =
            summaries.contains { $0.bitsPerByte.n > 1 }
            ? " Means over \(counts) seeds, ± their standard deviation." : " One seed."
        return "\(text); cache in \(kvDtype).\(deviations)"
    }

    /// The summaries' table.
    var columns: [ComparisonTable.Column] {
        func figure(_ value: SweepSummary.Figure?, signed: Bool = false) -> String? {
            guard let value else { return nil }
            let mean = String(format: signed ? "%+.4f" : "%.4f", value.mean)
            return value.deviation.map { mean + String(format: " ± %.4f", $0) } ?? mean
        }
        func column(_ title: String, leading: Bool = false, _ cell: (SweepSummary) -> String?) -> ComparisonTable.Column? {
            let cells = summaries.map(cell)
            guard cells.contains(where: { $0 != nil }) else { return nil }
            return ComparisonTable.Column(title: title, cells: cells.map { $0 ?? "–" }, leading: leading)
        }
        return [
            column("model", leading: true) { $0.name },
            column("α") { $0.point.alpha > 0 ? "\($0.point.alpha)" : nil },
            column("KV bytes/token") { groupedDigits($0.point.kvBytesPerToken) },
            column("measured") { $0.point.cache.map { groupedDigits(Int($0.bytesPerToken.rounded())) } },
            column("tokens") { groupedDigits($0.point.tokens) },
            column("tokens per parameter") { String(format: "%.2f", $0.point.tokensPerParameter) },
            column("bits/byte before") { figure($0.before) }, column("bits/byte") { figure($0.bitsPerByte) },
            column("to parent") { figure($0.toParent, signed: true) },
            column("to parent continued") { figure($0.toContinued, signed: true) },
        ].compactMap { $0 }
    }

    /// Aligned columns for a terminal.
    public var plain: String { [caption, "", ComparisonTable.plain(columns, rows: summaries.count)].joined(separator: "\n") }

    /// A Markdown table.
    public var markdown: String {
        [ComparisonTable.markdown(columns, rows: summaries.count), "", caption].joined(separator: "\n")
    }
}
