import Evaluation
import Experiments
import Foundation
import Kernels

/// Evaluates models by the likelihood of choices, and prints their scores.
struct LikelihoodEvaluation {
    var models: [String]
    var tokenizer: String?
    var dtype = ComputePrecision.fp32
    var threads: ThreadsOption
    var results: JSONOptions

    private struct Report: Encodable {
        var task: String
        var models: [Entry]
    }

    private struct Entry: Encodable {
        var model: String
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
        let (task, groups, all) = (set.name, set.groups, set.items)
        var entries: [Entry] = []
        var reference: [Double] = []
        for path in models {
            let model = try model(path)
            let score: ChoiceScore
            do {
                score = try ChoiceScore.evaluate(
                    model.model, tokenizer: model.tokenizer, bosID: model.bosID, prefixID: model.prefixID, all
                ) { done, count in reporter.progress("\(model.name)  choices  \(done)/\(count)") }
            } catch let error as ChoiceTaskError { throw CommandFailure(description: "\(task): \(error)") }
            let right = score.results.map { $0.chosen == $0.answer ? 1.0 : 0 }
            var parts: [Group] = []
            var next = 0
            for group in groups {
                let range = next..<next + group.items.count
                next = range.upperBound
                parts.append(
                    Group(
                        name: group.name, items: range.count,
                        scores: ["acc": right[range].reduce(0, +) / Double(max(1, range.count))]))
            }
            entries.append(
                Entry(
                    model: model.name, items: score.items, scores: try Self.scores(score, set.metrics),
                    acc_stderr: score.standardError, groups: groups.count > 1 ? parts : nil,
                    toReference: reference.isEmpty ? nil : PairedScores(Array(zip(reference, right)))))
            if reference.isEmpty { reference = right }
        }
        reporter.clear()
        if results.isJSON { return try results.print(Report(task: task, models: entries)) }
        for entry in entries { try show(entry) }
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
        try print("\(entry.model), \(entry.items) items")
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
