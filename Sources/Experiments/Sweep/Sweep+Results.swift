import Checkpoints
import Foundation

/// The figures of all models, their table and their report.
extension Sweep {
    func results(
        _ made: [Int: SweepRecipes.Made], _ scores: [Int: SweepScore], _ timing: DecodeTiming?
    ) -> SweepResults {
        var results = SweepResults(
            name: recipe.name, text: text, kvDtype: lab.evaluation.kvDtype,
            points: SweepPoint.all(steps, made: made, scores: scores, store: store.directory, isListed: isListed), timing: timing)
        results.sharesTrajectories = recipes.plan.sharesTrajectories && lab.lengths.count > 1
        results.recipe = recipe.resolvedJSON
        let examples = RecoveryExample.all(steps, made: made)
        results.predictions = [1, 2, 5, 10, 20].map { RecoveryJudgement(examples, within: $0) }
        return results
    }

    /// The text scored, in words.
    var text: String {
        let limits = recipes.parents.isEmpty ? [recipe.model?.maxSeq ?? .max] : recipes.parents.map(\.config.maxSequence)
        let windows = Set(limits.map { min(lab.evaluation.window, $0) }).sorted().map(String.init)
        let window = windows.joined(separator: " or ")
        let files = recipe.data.files.map(\.path).joined(separator: ", ")
        return "\(lab.evaluation.text ?? "validation part of " + files), window \(window)"
    }

    /// The trained models side by side, each with its figures to the parent.
    func comparison(
        _ made: [Int: SweepRecipes.Made], _ scores: [Int: SweepScore], _ results: SweepResults
    ) throws -> ComparisonTable {
        let evaluation = lab.evaluation
        let comparison = comparison()
        let points = Dictionary(results.points.map { ($0.folder, $0) }) { first, _ in first }
        let rows = try steps.indices.compactMap { index -> ComparisonRow? in
            let step = steps[index]
            guard let output = made[index], let score = scores[index], let point = points[step.folder] else { return nil }
            let model = try Checkpoint.load(output.model, verify: .structure, trainingState: false)
            var row = comparison.row(point.name, model.config, score.result)
            row.allocatedBytesPerToken = point.cache?.bytesPerToken
            if step.kind == .child, let before = step.source.flatMap({ scores[$0]?.result }) {
                (row.perplexityBefore, row.bitsPerByteBefore) = (before.perplexity, before.bitsPerByte)
            }
            guard step.kind != .parent else { return row }
            (row.difference, row.standardError) = (point.difference, point.standardError)
            (row.klDivergence, row.uptrainedTokens) = (point.klDivergence, point.tokens)
            row.isControl = step.kind == .continued
            return row
        }
        var table = ComparisonTable(
            text: text, contextTokens: evaluation.contextTokens, batch: evaluation.batch, kvDtype: evaluation.kvDtype, rows: rows)
        table.bytesNote = results.bytesNote
        return table
    }

    func write(_ result: Result, _ made: [Int: SweepRecipes.Made]) throws {
        try TextFile.write(result.table.json + "\n", to: directory + "/results.json")
        try TextFile.write(result.table.csv, to: directory + "/results.csv")
        try TextFile.write(result.table.markdown + "\n", to: directory + "/results.md")
        if let frontier = result.frontier {
            try TextFile.write(frontier.json + "\n", to: directory + "/compression.json")
            try TextFile.write(frontier.csv, to: directory + "/compression.csv")
            try TextFile.write(frontier.markdown + "\n", to: directory + "/compression.md")
            let figure = frontier.parents.first.map { FrontierPlot(frontier, parent: $0).figure }
            if let image = figure.flatMap(HTMLReport.image) { try TextFile.write(image, to: directory + "/compression.svg") }
        }
        if let tasks = result.results.tasks {
            try TextFile.write(tasks.csv, to: directory + "/tasks.csv")
            try TextFile.write(tasks.markdown + "\n", to: directory + "/tasks.md")
        }
        try writeRecipes(of: result, made)
        let report = try SweepReport(result: result, steps: steps, made: made, recipes: recipes)
        try TextFile.write(report.html, to: directory + "/report.html")
        if let image = report.image { try TextFile.write(image, to: directory + "/pareto.svg") }
    }
}
