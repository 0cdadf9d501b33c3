import Foundation
import Kernels

/// The figures of a sweep: every trained model's, and their means over seeds, which are its table.
public struct SweepResults: ResultTable, Codable, Hashable {
    /// The sweep's name.
    public var name: String
    /// The scored text and the window policy, in words.
    public var text: String
    /// Element type of the cache figures.
    public var kvDtype: String
    /// Every trained model.
    public var points: [SweepPoint]
    /// Models over their seeds.
    public var summaries: [SweepSummary]
    /// The smallest cache within the recipe's limit, for each parent.
    public var recommendations: [Recommendation] = []
    /// The models on tasks; nil where the recipe lists none.
    public var tasks: TaskTable?
    /// The timing of decoding, where it was measured.
    public var timing: DecodeTiming?
    /// Whether the tokens to recovery can be predicted from diagnoses before training, judged on these runs.
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

    /// The pairs that the intervals of differences are taken over.
    var pairing: Recommendation.Pairing { summaries.contains { $0.runs > 1 } ? .seeds : .windows }

    /// Every point's figures in full, one line a model.
    public var csv: String {
        Self.csv(
            points,
            [
                "kind": { $0.kind.rawValue }, "attention": { $0.attention }, "architecture": { $0.architecture },
                "kv_heads": { $0.kvHeads }, "method": { $0.method }, "alpha": { $0.alpha }, "seed": { $0.seed },
                "uptrain_seed": { $0.uptrainSeed }, "kv_bytes_per_token": { $0.kvBytesPerToken },
                "measured_cache_bytes_per_token": { $0.cache?.bytesPerToken }, "parameters": { $0.parameters },
                "tokens": { $0.tokens }, "tokens_per_parameter": { $0.tokensPerParameter },
                "bits_per_byte_before": { $0.bitsPerByteBefore }, "bits_per_byte": { $0.bitsPerByte },
                "difference": { $0.difference }, "standard_error": { $0.standardError }, "to_continued": { $0.toContinued },
                "to_continued_error": { $0.toContinuedError }, "kl_divergence": { $0.klDivergence }, "seconds": { $0.seconds },
                "folder": { $0.folder }, "model": { $0.model },
            ])
    }

    /// The meaning of the figures, in words.
    public var caption: String {
        let counts = Set(summaries.map(\.bitsPerByte.n)).sorted().map(String.init).joined(separator: " or ")
        let deviations =
            summaries.contains { $0.bitsPerByte.n > 1 }
            ? " Means over \(counts) seeds, ± their standard deviation." : " One seed."
        return "\(text); cache in \(kvDtype).\(deviations) \(bytesNote)"
    }

    /// The difference between logical and allocated bytes.
    var bytesNote: String {
        let caches = points.compactMap(\.cache)
        guard let longest = caches.map(\.tokens).max() else {
            return "KV bytes/token: keys and values by the models' shapes."
        }
        let scales = KVEncoding(name: kvDtype)?.isElementwise == false ? " with the scales of their codes" : ""
        let sealed = (KVEncoding(name: kvDtype)?.blockTokens ?? 1) > 1 ? ", and newest tokens wait for their block in bf16" : ""
        return
            "KV bytes/token are logical: keys and values\(scales) of a sequence of \(groupedDigits(longest)) tokens. Allocated are its "
            + "pages, the last one of each layer in part empty\(sealed)."
    }

    /// The summaries' table; columns that no summary fills are left out.
    public var columns: [TableColumn] {
        func figure(_ value: SweepSummary.Figure?, signed: Bool = false) -> String? {
            guard let value else { return nil }
            let mean = String(format: signed ? "%+.4f" : "%.4f", value.mean)
            return value.deviation.map { mean + String(format: " ± %.4f", $0) } ?? mean
        }
        func column(_ title: String, leading: Bool = false, _ cell: (SweepSummary) -> String?) -> TableColumn? {
            TableColumn.filled(title, summaries, leading: leading, cell)
        }
        return [
            column("model", leading: true) { $0.name },
            column("α") { $0.point.alpha > 0 ? "\($0.point.alpha)" : nil },
            column("KV bytes/token") { groupedDigits(Int($0.point.logicalBytesPerToken.rounded())) },
            column("allocated") { $0.point.cache.map { groupedDigits(Int($0.bytesPerToken.rounded())) } },
            // A given parent's lineage may lack its training tokens.
            column("tokens") { $0.point.tokens > 0 ? groupedDigits($0.point.tokens) : nil },
            column("tokens per parameter") { $0.point.tokens > 0 ? String(format: "%.2f", $0.point.tokensPerParameter) : nil },
            column("bits/byte before") { figure($0.before) }, column("bits/byte") { figure($0.bitsPerByte) },
            column("to parent") { figure($0.toParent, signed: true) },
            column("to parent continued") { figure($0.toContinued, signed: true) },
        ].compactMap { $0 }
    }
}
