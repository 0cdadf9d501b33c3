import Evaluation
import Files
import Foundation
import Inference

/// Scores of models and caches on tasks beside their bits per byte, and where the two disagree about which cache is better.
public struct TaskTable: ResultTable, Codable, Hashable {
    /// A model and cache on one task; over several seeds all their examples.
    public struct Score: Codable, Sendable, Hashable {
        /// The score over all examples with Wilson's 95 % interval.
        public var overall: WilsonInterval
        /// The difference to the uncompressed parent, paired over examples; nil for that itself.
        public var toParent: PairedScores?
        /// Bytes that the cache holds for a token of the prompts; nil for choices, which have no cache.
        public var heldBytesPerToken: Double?
        /// The median of seconds to the first token, and tokens a second; of the first run.
        public var firstTokenSeconds: Double?, prefillTokensPerSecond: Double?, decodeTokensPerSecond: Double?
    }

    /// A model with a cache.
    public struct Row: Codable, Sendable, Hashable {
        /// The model.
        public var model: String
        /// MHA, GQA-2, MQA, or the layers' own.
        public var attention: String
        /// The model that it is compared with.
        public var parent: String
        /// The cache as `--cache` reads it.
        public var cache: String
        /// Runs that the figures are over.
        public var runs: Int
        /// Allocated cache bytes a token of the text.
        public var bytesPerToken: Double
        /// Bits per byte of the text; means over seeds.
        public var bitsPerByte: Double
        /// The score of each task, in the order of ``TaskTable/tasks``; nil for choices through any but the first cache.
        public var scores: [Score?]
    }

    /// A pair of caches that a task and bits per byte put in opposite order.
    public struct Disagreement: Codable, Sendable, Hashable {
        /// The task.
        public var task: String
        /// The cache with the higher score, and the one with fewer bits per byte.
        public var scoresBetter: String, predictsBetter: String
        /// Their scores.
        public var scores: [Double]
        /// The first's score minus the second's, and half of its 95 % interval, paired over examples.
        public var difference: Double, margin: Double
        /// The first's bits per byte minus the second's, and half of its 95 % interval; nil where nothing pairs.
        public var bitsPerByte: Double, bitsMargin: Double?
    }

    /// A model with a cache, of one seed.
    struct Entry {
        var model: String
        var attention: String
        var parent: String
        var isParent: Bool
        var seed: Int
        var uptrainSeed: Int?
        var cache: CacheSpec
        var bytesPerToken: Double
        var bitsPerByte: Double
        /// The windows of the text; nil where they were not kept.
        var quality: PerplexityResult?
        /// In the order of the tasks.
        var scores: [TaskScores?]
    }

    /// The tasks' names.
    public var tasks: [String]
    /// The tasks as `--tasks` reads them.
    public var specs: [String]
    /// The text of bits per byte, in words.
    public var text: String
    /// Models with their caches.
    public var rows: [Row]
    /// Pairs that a task and bits per byte put in opposite order, both beyond their intervals; the largest differences of scores first.
    public var disagreements: [Disagreement]
    /// Pairs of caches of one parent that both a task and bits per byte tell apart.
    public var toldApart: Int

    /// The table of `entries`, entries of one model and cache that differ in their seeds as one row; `full` is the reference's cache.
    init(_ entries: [Entry], tasks: [LabTask], full: CacheSpec, text: String) {
        self.text = text
        specs = tasks.map { "\($0.spec)" }
        let names = tasks.map(\.name)
        // Two of one name are told apart by their settings.
        let titles = zip(names, specs).map { name, spec in names.count { $0 == name } > 1 ? spec : name }
        self.tasks = titles
        let groups = Self.groups(entries)
        rows = groups.map { group in
            let reference = entries.filter { $0.isParent && $0.cache == full && $0.parent == group[0].parent }
            let isReference = group[0].isParent && group[0].cache == full
            return Row(
                model: group[0].model, attention: group[0].attention, parent: group[0].parent, cache: "\(group[0].cache)",
                runs: group.count, bytesPerToken: Self.mean(group.map(\.bytesPerToken)),
                bitsPerByte: Self.mean(group.map(\.bitsPerByte)),
                scores: titles.indices.map { task in
                    Self.score(group, task, reference: isReference ? nil : reference)
                })
        }
        (disagreements, toldApart) = Self.disagreements(groups, titles)
    }

    private static func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(max(1, values.count)) }

    /// Entries of one model and cache, in the order in which they first occur.
    private static func groups(_ entries: [Entry]) -> [[Entry]] {
        struct Key: Hashable {
            var model: String
            var parent: String
            var cache: CacheSpec
        }
        return entries.grouped { Key(model: $0.model, parent: $0.parent, cache: $0.cache) }
    }

    private static func score(_ group: [Entry], _ task: Int, reference: [Entry]?) -> Score? {
        let own = group.compactMap { $0.scores[task] }
        let all = own.flatMap(\.scores)
        guard let first = own.first, !all.isEmpty else { return nil }
        let pairs = reference.map { Self.pairs($0, group, task) } ?? []
        let held = own.compactMap(\.heldBytesPerToken)
        return Score(
            overall: WilsonInterval(all), toParent: pairs.isEmpty ? nil : PairedScores(pairs),
            heldBytesPerToken: held.isEmpty ? nil : mean(held), firstTokenSeconds: first.firstTokenSeconds,
            prefillTokensPerSecond: first.prefillTokensPerSecond, decodeTokensPerSecond: first.decodeTokensPerSecond)
    }

    /// The runs of two groups that belong together: those of one parent and one order of the data.
    private static func matched(_ references: [Entry], _ others: [Entry]) -> [(reference: Entry, other: Entry)] {
        others.compactMap { other in
            references.first {
                $0.seed == other.seed
                    && ($0.uptrainSeed == other.uptrainSeed || $0.uptrainSeed == nil || other.uptrainSeed == nil)
            }.map { ($0, other) }
        }
    }

    /// The scores of examples that both groups have, run by run.
    private static func pairs(
        _ references: [Entry], _ others: [Entry], _ task: Int
    ) -> [(reference: Double, other: Double)] {
        matched(references, others).flatMap { reference, other -> [(reference: Double, other: Double)] in
            guard let base = reference.scores[task]?.byID, let own = other.scores[task] else { return [] }
            return zip(own.ids, own.scores).compactMap { id, score in base[id].map { (reference: $0, other: score) } }
        }
    }

    /// The difference in bits per byte of two groups, and half of its 95 % interval: over windows for one run, else over seeds.
    private static func bits(_ references: [Entry], _ others: [Entry]) -> (difference: Double, margin: Double?)? {
        let runs = matched(references, others)
        if runs.count == 1, let reference = runs[0].reference.quality, let other = runs[0].other.quality {
            let paired = PairedDifference(reference: reference, other: other)
            return (paired.bitsPerByte, paired.standardError.map { 1.96 * $0 })
        }
        let figure = SweepSummary.Figure(
            runs.map { (seed: $0.other.seed, value: $0.other.bitsPerByte - $0.reference.bitsPerByte) })
        return figure.map { ($0.mean, $0.margin) }
    }

    private static func disagreements(
        _ groups: [[Entry]], _ tasks: [String]
    ) -> (found: [Disagreement], toldApart: Int) {
        var (found, toldApart): ([Disagreement], Int) = ([], 0)
        for (place, other) in groups.enumerated() {
            for reference in groups[..<place] where reference[0].parent == other[0].parent {
                guard let bits = bits(reference, other), bits.difference.isFinite, abs(bits.difference) > (bits.margin ?? 0)
                else {
                    continue
                }
                for (task, name) in tasks.enumerated() {
                    let pairs = pairs(reference, other, task)
                    guard !pairs.isEmpty else { continue }
                    let scores = PairedScores(pairs)
                    guard let error = scores.standardError, abs(scores.difference) > 1.96 * error else { continue }
                    toldApart += 1
                    // A higher score with more bits per byte, or a lower one with fewer.
                    guard scores.difference * bits.difference > 0 else { continue }
                    let isOther = scores.difference > 0
                    let means = [mean(pairs.map(\.other)), mean(pairs.map(\.reference))]
                    found.append(
                        Disagreement(
                            task: name, scoresBetter: label(isOther ? other[0] : reference[0], groups),
                            predictsBetter: label(isOther ? reference[0] : other[0], groups),
                            scores: isOther ? means : means.reversed(), difference: abs(scores.difference), margin: 1.96 * error,
                            bitsPerByte: abs(bits.difference), bitsMargin: bits.margin))
                }
            }
        }
        return (found.sorted { $0.difference > $1.difference }, toldApart)
    }

    /// A model's name, with its cache where there are several.
    private static func label(_ entry: Entry, _ groups: [[Entry]]) -> String {
        Set(groups.map { $0[0].cache }).count > 1 ? "\(entry.model) through \(entry.cache)" : entry.model
    }
}

extension TaskTable.Disagreement: CustomStringConvertible {
    /// The disagreement in one sentence.
    public var description: String {
        let bits = String(format: "%.4f", bitsPerByte) + (bitsMargin.map { String(format: " ± %.4f", $0) } ?? "")
        return String(
            format: "%@: %@ scores %.1f %%, %@ %.1f %% (%.1f ± %.1f points), but the latter has %@ fewer bits per byte.", task,
            scoresBetter, 100 * scores[0], predictsBetter, 100 * scores[1], 100 * difference, 100 * margin, bits)
    }
}
