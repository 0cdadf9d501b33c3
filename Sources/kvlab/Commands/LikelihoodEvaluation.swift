import Evaluation
import Experiments
import Foundation
import Inference
import Kernels

/// Evaluates models by the likelihood of choices, and prints their scores.
struct LikelihoodEvaluation {
    var models: [String]
    var tokenizer: String?
    var dtype = ComputePrecision.fp32
    var threads: ThreadsOption
    var results: JSONOptions
    /// The caches to score through; none for whole sequences without a cache.
    var caches: [CacheSpec] = []
    /// Whether evictions have seen the question.
    var isQueryAware = false
    var paging = PageOptions()

    private struct Report: Encodable {
        var task: String
        var models: [Entry]
    }

    private struct Entry: Encodable {
        var model: String
        var cache: String?
        var queryAware: Bool?
        /// Bytes of the keys and values that a choice was scored through, on average.
        var heldBytes: Double?
        var items: Int
        /// The metrics by the harness's names, over all items.
        var scores: [String: Double]
        var acc_stderr: Double
        var groups: [Group]?
        var toReference: PairedScores?
    }

    private struct Group: Encodable {
        var name: String
        var items: Int
        var scores: [String: Double]
    }

    /// Scores the items of `set` with each model and prints its metrics, also group by group where there are several.
    func run(_ set: EvaluationWork.ChoiceSet) throws {
        let reporter = ProgressReporter(quiet: results.isJSON)
        let all = set.items
        var entries: [Entry] = []
        var reference: [Double] = []
        for path in models {
            let model = try model(path)
            do {
                if caches.isEmpty {
                    let score = try ChoiceScore.evaluate(
                        model.model, tokenizer: model.tokenizer, bosID: model.bosID, prefixID: model.prefixID, all
                    ) { done, count in reporter.progress("\(model.name)  choices  \(done)/\(count)") }
                    entries.append(try entry(set, model.name, nil, score, &reference))
                    continue
                }
                try model.scoreChoices(all, through: caches, pageBytes: paging.page?.bytes, isQueryAware: isQueryAware) {
                    cache, done, count in
                    reporter.progress("\(model.name)  \(cache)  choices  \(done)/\(count)")
                } scored: { cache, score in
                    entries.append(try entry(set, model.name, cache, score, &reference))
                }
            } catch let error as ChoiceTaskError { throw CommandFailure(description: "\(set.name): \(error)") }
        }
        reporter.clear()
        if results.isJSON { return try results.print(Report(task: set.name, models: entries)) }
        for entry in entries { try show(entry) }
    }

    /// The scores of a model through a cache, compared with the first ones.
    private func entry(
        _ set: EvaluationWork.ChoiceSet, _ model: String, _ cache: CacheSpec?, _ score: ChoiceScore, _ reference: inout [Double]
    ) throws -> Entry {
        let right = score.results.map { $0.chosen == $0.answer ? 1.0 : 0 }
        var parts: [Group] = []
        var next = 0
        for group in set.groups {
            let range = next..<next + group.items.count
            next = range.upperBound
            parts.append(
                Group(
                    name: group.name, items: range.count,
                    scores: ["acc": right[range].reduce(0, +) / Double(max(1, range.count))]))
        }
        let paired = reference.isEmpty ? nil : PairedScores(Array(zip(reference, right)))
        if reference.isEmpty { reference = right }
        return Entry(
            model: model, cache: cache?.description, queryAware: cache.map { $0.evicts && isQueryAware },
            heldBytes: score.bytesHeld,
            items: score.items, scores: try Self.scores(score, set.metrics), acc_stderr: score.standardError,
            groups: set.groups.count > 1 ? parts : nil, toReference: paired)
    }

    /// The model at `path` with the options' tokenizer, precision and threads.
    func model(_ path: String) throws -> LoadedModel {
        threads.apply()
        var model = try LoadedModel(path: path, tokenizerPath: tokenizer)
        model.model.compute.precision = dtype
        return model
    }

    private static func scores(_ score: ChoiceScore, _ metrics: [String]) throws -> [String: Double] {
        var scores: [String: Double] = [:]
        for metric in metrics {
            switch metric {
            case "acc_norm": scores[metric] = score.normalizedAccuracy
            case "acc_bytes": scores[metric] = score.byteAccuracy
            case "exact_match": scores[metric] = score.greedyAccuracy
            case "f1": scores[metric] = try BinaryF1.score(score.results.map { ($0.answer, $0.chosen) })
            default: scores[metric] = score.accuracy
            }
        }
        return scores
    }

    private func show(_ entry: Entry) throws {
        let names = entry.scores.keys.sorted()
        let width = max(names.map(\.count).max() ?? 0, 10)
        let cache = entry.cache.map { "  \($0)" } ?? ""
        try print("\(entry.model)\(cache)\(entry.queryAware == true ? ", query-aware" : ""), \(entry.items) items")
        if let bytes = entry.heldBytes { try print(String(format: "  cache held  %.0f bytes", bytes)) }
        for name in names {
            let error = name == "acc" ? String(format: " ± %.4f", entry.acc_stderr) : ""
            try print(
                "  " + name.padding(toLength: width, withPad: " ", startingAt: 0)
                    + String(format: "  %.4f", entry.scores[name] ?? 0) + error)
        }
        if let paired = entry.toReference {
            let error = paired.standardError.map { String(format: " ± %.4f", $0) } ?? ""
            try print(
                String(format: "  difference  %+.4f", paired.difference)
                    + "\(error), lost \(paired.lost), gained \(paired.gained)")
        }
        for group in entry.groups ?? [] {
            try print(String(format: "  %.4f  ", group.scores["acc"] ?? 0) + "\(group.name) (\(group.items))")
        }
    }
}
