import Evaluation
import Foundation
import Inference

/// Architectures × evictions × encodings: models through compressed caches, each beside its uncompressed parent.
///
/// A row is dominated where another of the same parent has no more cache bytes a token and no more divergence from it, and less of one.
public struct CacheFrontier: ResultTable, Codable, Hashable {
    /// One model through one cache; means over the seeds of a sweep.
    public struct Row: Codable, Sendable, Hashable {
        /// The model.
        public var model: String
        /// MHA, GQA-2, MQA, or the layers' own.
        public var attention: String
        /// The model that divergence is measured from.
        public var parent: String
        /// The cache as `--compression` and `--cache` read it.
        public var cache: String
        /// The eviction policy; nil where all tokens are kept.
        public var evict: String?
        /// The eviction with its settings in words.
        public var eviction: String
        /// The encoding of keys and values.
        public var kvDtype: String
        /// Runs that the means are over.
        public var runs: Int
        /// Tokens of the sequences that bytes, speed and capacity belong to.
        public var contextTokens: Int
        /// The most bytes that a sequence holds while it decodes, a token: pages with scales, positions and the policies' other
        /// state.
        public var cacheBytesPerToken: Double
        /// The part of them that lies beside the pages.
        public var sidecarBytesPerToken: Double
        /// Bytes of the keys and values in the pages then, with their scales, a token; nil for measurements of earlier versions.
        public var logicalBytesPerToken: Double?
        /// Slots at a window's end, a layer.
        public var slotsKept: Double
        /// KL(parent ‖ this) in nats a token, the parent's cache uncompressed.
        public var klToParent: Double
        /// Its standard deviation over seeds; nil for one.
        public var klDeviation: Double?
        /// ``klToParent`` minus that of the same child uptrained on the same tokens without the cache, for a model that was trained through
        /// it; paired by seed.
        public var klToPlain: Double?
        /// Half of that difference's 95 % interval over seeds; nil for one.
        public var klToPlainMargin: Double?
        /// Bits per byte.
        public var bitsPerByte: Double
        /// Their standard deviation over seeds; nil for one.
        public var bitsPerByteDeviation: Double?
        /// Bits per byte minus those of the uncompressed parent; nil for that itself.
        public var difference: Double?
        /// Half of the difference's 95 % interval; nil where nothing pairs.
        public var margin: Double?
        /// Perplexity, of the first run.
        public var perplexity: Double
        /// Tokens decoded a second.
        public var tokensPerSecond: Double
        /// Sequences at their most bytes that a pool of ``memoryBytes`` holds.
        public var sequences: Int
        /// Bytes of the pages of the parent's uncompressed sequences.
        public var memoryBytes: Int
        /// Whether another row is better.
        public var isDominated = false
    }

    /// A model through a cache, of one seed.
    struct Entry {
        var model: String
        var attention: String
        var parent: String
        /// Whether the model is its own parent.
        var isParent: Bool
        var seed: Int
        /// The uptraining's own seed, where a sweep has such.
        var uptrainSeed: Int?
        var cache: CacheSpec
        /// For a model that was trained through the cache, the one that was trained without it.
        var plain: String?
        var score: CompressedScore
    }

    /// The scored text and the window policy, in words.
    public var text: String
    /// Tokens of a window, and of its prompt.
    public var windowTokens: Int, promptTokens: Int
    /// The encoding of the parent's sequences that memory is counted in.
    public var kvDtype: String
    /// The rows, model by model.
    public var rows: [Row]
    /// The machines that were timed.
    public var machines: [String]
    /// The smallest cache within a limit of the parent's quality, for each parent.
    public var recommendations: [Recommendation]?
    /// The models through these caches on tasks; nil where none were asked for.
    public var tasks: TaskTable?

    /// The table of `entries`, entries of one model and cache that differ in their seeds as one row.
    init(_ entries: [Entry], text: String, grid: CacheGrid) {
        (self.text, kvDtype) = (text, grid.encoding.name)
        (windowTokens, promptTokens) = (grid.window, grid.prompt)
        struct Key: Hashable {
            var model: String
            var parent: String
            var cache: CacheSpec
        }
        let full = CacheSpec(keepingAllIn: grid.encoding)
        let references = entries.filter { $0.isParent && $0.cache == full }
        let groups = entries.grouped { Key(model: $0.model, parent: $0.parent, cache: $0.cache) }
        let pairing: Recommendation.Pairing = groups.contains { $0.count > 1 } ? .seeds : .windows
        rows = groups.compactMap { group -> Row? in
            guard var row = Self.row(group) else { return nil }
            if let first = group.first, !(first.isParent && first.cache == full) {
                (row.difference, row.margin) = Self.difference(group, to: references, pairing)
            }
            (row.klToPlain, row.klToPlainMargin) = Self.differenceToPlain(group, among: entries)
            return row
        }
        machines = entries.map(\.score.machine).distinct()
        for index in rows.indices { rows[index].isDominated = rows.contains { Self.dominates($0, rows[index]) } }
    }

    private static func row(_ group: [Entry]) -> Row? {
        func figure(_ value: (CompressedScore) -> Double) -> SweepSummary.Figure? {
            SweepSummary.Figure(group.map { (seed: $0.seed, value: value($0.score)) })
        }
        guard let first = group.first, let kl = figure(\.klToParent), let bits = figure(\.bitsPerByte),
            let bytes = figure(\.cacheBytesPerToken), let sidecar = figure(\.sidecarBytesPerToken),
            let slots = figure(\.slotsKept), let speed = figure(\.tokensPerSecond)
        else { return nil }
        let logicalBytes = group.compactMap(\.score.logicalBytesPerToken)
        let logical = logicalBytes.count == group.count ? logicalBytes.reduce(0, +) / Double(group.count) : nil
        return Row(
            model: first.model, attention: first.attention, parent: first.parent, cache: "\(first.cache)",
            evict: first.cache.policy, eviction: first.cache.evictionText, kvDtype: first.cache.encoding.name, runs: group.count,
            contextTokens: first.score.contextTokens, cacheBytesPerToken: bytes.mean, sidecarBytesPerToken: sidecar.mean,
            logicalBytesPerToken: logical, slotsKept: slots.mean, klToParent: kl.mean, klDeviation: kl.deviation,
            bitsPerByte: bits.mean,
            bitsPerByteDeviation: bits.deviation, perplexity: first.score.perplexity, tokensPerSecond: speed.mean,
            sequences: first.score.sequences, memoryBytes: first.score.memoryBytes)
    }

    /// The difference of a row's entries to the uncompressed parents of their seeds, and half of its 95 % interval.
    private static func difference(
        _ group: [Entry], to references: [Entry], _ pairing: Recommendation.Pairing
    ) -> (Double?, Double?) {
        let pairs = group.compactMap { entry in
            references.first { $0.parent == entry.parent && $0.seed == entry.seed }.map {
                (seed: entry.seed, parent: $0, entry: entry)
            }
        }
        let figure = SweepSummary.Figure(pairs.map { ($0.seed, $0.entry.score.bitsPerByte - $0.parent.score.bitsPerByte) })
        guard pairing == .windows else { return (figure?.mean, figure?.margin) }
        guard let pair = pairs.first, let reference = pair.parent.score.result, let own = pair.entry.score.result else {
            return (figure?.mean, nil)
        }
        let paired = PairedDifference(reference: reference, other: own)
        return (paired.bitsPerByte, paired.standardError.map { 1.96 * $0 }.flatMap { $0.isFinite ? $0 : nil })
    }

    /// The divergence of a row's entries minus that of the models trained without their cache, and half of its 95 % interval over seeds.
    private static func differenceToPlain(_ group: [Entry], among entries: [Entry]) -> (Double?, Double?) {
        let figure = SweepSummary.Figure(
            group.compactMap { entry in
                entries.first {
                    $0.model == entry.plain && $0.parent == entry.parent && $0.cache == entry.cache && $0.seed == entry.seed
                        && $0.uptrainSeed == entry.uptrainSeed
                }.map { (seed: entry.seed, value: entry.score.klToParent - $0.score.klToParent) }
            })
        return (figure?.mean, figure?.margin)
    }

    /// The pairs that the intervals of differences are taken over.
    var pairing: Recommendation.Pairing { rows.contains { $0.runs > 1 } ? .seeds : .windows }

    private static func dominates(_ row: Row, _ other: Row) -> Bool {
        guard row.parent == other.parent, row.klToParent.isFinite else { return false }
        guard other.klToParent.isFinite else { return row.cacheBytesPerToken <= other.cacheBytesPerToken }
        return row.cacheBytesPerToken <= other.cacheBytesPerToken && row.klToParent <= other.klToParent
            && (row.cacheBytesPerToken < other.cacheBytesPerToken || row.klToParent < other.klToParent)
    }

    /// The parents, in order.
    var parents: [String] { rows.map(\.parent).distinct() }
}

extension CacheFrontier {
    public var caption: String {
        let contexts = Set(rows.map(\.contextTokens)).sorted().map(String.init).joined(separator: " or ")
        let memory = Set(rows.map(\.memoryBytes)).sorted().map(byteCountText).joined(separator: " or ")
        let means = rows.contains { $0.runs > 1 } ? " Means over seeds, ± their standard deviation." : ""
        let plain =
            rows.contains { $0.klToPlain != nil }
            ? " KL to plain: of a model trained through the row's cache, the divergence minus that of the same child trained without it"
                + (rows.contains { $0.klToPlainMargin != nil } ? ", ± half of a 95 % interval, paired by seed." : ".") : ""
        return
            "\(text), \(promptTokens) tokens of each window its prompt; KL(parent ‖ model) in nats a token, the parent's cache "
            + "uncompressed in fp32. Bytes: the most that a sequence of \(contexts) tokens holds while it decodes, whole pages and what lies "
            + "beside them, a token; logical ones are the keys and values in the pages, with the scales of codes. ± is half of a 95 % "
            + "interval, \(pairing == .seeds ? "paired by seed" : "paired over windows"). Sequences: as many of these as pages of \(memory) hold, in which \(CacheGrid.sequences) of the parent's "
            + "fit in \(kvDtype). Tokens/s: \(DecodeProbe.sequences) sequences decoding, \(machines.joined(separator: "; ")).\(means)\(plain)"
    }

    /// The rows' table; columns that no row fills are left out.
    public var columns: [TableColumn] {
        func column(_ title: String, leading: Bool = false, _ cell: (Row) -> String?) -> TableColumn? {
            TableColumn.filled(title, rows, leading: leading, cell)
        }
        func figure(_ mean: Double, _ deviation: Double?, _ digits: Int) -> String {
            String(format: "%.\(digits)f", mean) + (deviation.map { String(format: " ± %.\(digits)f", $0) } ?? "")
        }
        return [
            column("model", leading: true) { $0.model },
            column("attention", leading: true) { $0.attention },
            column("eviction", leading: true) { $0.eviction },
            column("KV dtype", leading: true) { $0.kvDtype },
            column("logical bytes/token") { $0.logicalBytesPerToken.map { String(format: "%.1f", $0) } },
            column("bytes/token") { String(format: "%.1f", $0.cacheBytesPerToken) },
            column("slots") { String(format: "%.0f", $0.slotsKept) },
            column("KL to parent") { figure($0.klToParent, $0.klDeviation, 5) },
            column("KL to plain") { row in
                row.klToPlain.map { mean in
                    String(format: "%+.5f", mean) + (row.klToPlainMargin.map { String(format: " ± %.5f", $0) } ?? "")
                }
            },
            column("bits/byte") { figure($0.bitsPerByte, $0.bitsPerByteDeviation, 4) },
            column("to parent") { $0.difference.map { String(format: "%+.4f", $0) } },
            column("± 95 %") { $0.margin.map { String(format: "%.4f", $0) } },
            column("tokens/s") { groupedDigits(Int($0.tokensPerSecond.rounded())) },
            column("sequences") { groupedDigits($0.sequences) },
            column("dominated", leading: true) { $0.isDominated ? "yes" : nil },
        ].compactMap { $0 }
    }

    /// Every figure in full, one line a model and cache.
    public var csv: String {
        Self.csv(
            rows,
            [
                "model": { $0.model }, "attention": { $0.attention }, "parent": { $0.parent }, "cache": { $0.cache },
                "evict": { $0.evict }, "kv_dtype": { $0.kvDtype }, "runs": { $0.runs }, "context_tokens": { $0.contextTokens },
                "cache_bytes_per_token": { $0.cacheBytesPerToken }, "sidecar_bytes_per_token": { $0.sidecarBytesPerToken },
                "slots_kept": { $0.slotsKept }, "kl_to_parent": { $0.klToParent }, "kl_deviation": { $0.klDeviation },
                "bits_per_byte": { $0.bitsPerByte }, "bits_per_byte_deviation": { $0.bitsPerByteDeviation },
                "perplexity": { $0.perplexity }, "tokens_per_second": { $0.tokensPerSecond }, "sequences": { $0.sequences },
                "memory_bytes": { $0.memoryBytes }, "dominated": { $0.isDominated },
                "logical_bytes_per_token": { $0.logicalBytesPerToken }, "difference": { $0.difference },
                "margin": { $0.margin }, "kl_to_plain": { $0.klToPlain }, "kl_to_plain_margin": { $0.klToPlainMargin },
            ])
    }
}
