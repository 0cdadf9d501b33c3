import Checkpoints
import Conversion
import Foundation
import Models
import Recipes
import Training

/// A sweep as one HTML file that needs nothing else and runs no script.
struct SweepReport {
    private let results: SweepResults
    /// Training losses of the first seed's runs, the parent's and then those of each share.
    private let curves: [(title: String, curves: [HTMLReport.Curve])]
    private let similarity: [HeadSimilarity]
    private let lineage: String
    private let runs: [(name: String, json: String)]
    /// Methods and controls in the order of their colours.
    private let families: [String]

    /// Reads metrics and the first parent from the steps' folders.
    init(results: SweepResults, steps: [SweepStep], made: [Int: SweepRecipes.Made], recipes: SweepRecipes) throws {
        self.results = results
        var families: [String] = []
        for summary in results.summaries where !families.contains(summary.family) { families.append(summary.family) }
        self.families = families
        let first = steps.indices.filter {
            steps[$0].seed == steps.first?.seed && steps[$0].uptrainSeed == steps.first { $0.kind == .converted }?.uptrainSeed
                || steps[$0].seed == steps.first?.seed && [.parent, .scratch].contains(steps[$0].kind)
        }
        let architectures = steps.reduce(into: [ChildArchitecture]()) { found, step in
            if let architecture = step.architecture, !found.contains(architecture) { found.append(architecture) }
        }
        let points = Dictionary(results.points.map { ($0.model, $0) }) { first, _ in first }
        func curve(_ index: Int) -> HTMLReport.Curve? {
            guard let output = made[index], let point = points[output.record.output] else { return nil }
            let losses = MetricsFile.read(path: output.folder + "/metrics.jsonl").compactMap { line in
                line.loss.map { (line.step, $0) }
            }
            var curve = HTMLReport.Curve(
                name: point.architecture.map { "\($0) \(point.family)" } ?? point.family,
                points: LossPlot.thinned(losses, to: 150))
            curve.color = families.firstIndex(of: point.family)
            curve.dash = steps[index].architecture.flatMap { architectures.firstIndex(of: $0) } ?? 0
            return curve
        }
        var curves = [("", first.filter { steps[$0].kind == .parent }.compactMap(curve))]
        for alpha in Set(steps.map(\.alpha)).filter({ $0 > 0 }).sorted() {
            let own = first.filter { steps[$0].alpha == alpha }
            // What starts from random weights would press the others together.
            curves.append(("α = \(alpha)", own.filter { steps[$0].kind != .scratch }.compactMap(curve)))
            curves.append(("α = \(alpha), from scratch", own.filter { steps[$0].kind == .scratch }.compactMap(curve)))
        }
        self.curves = curves
        if let parent = made[0].flatMap({ try? Checkpoint.load($0.model, trainingState: false) }) {
            similarity = try (0..<parent.config.layers).map { try HeadSimilarity(parent.config, parent.parameters, layer: $0) }
        } else {
            similarity = []
        }
        lineage = Self.lineage(steps, made)
        runs = steps.indices.compactMap { index in
            guard let output = made[index], let resolved = recipes.resolve(steps[index], made: made) else { return nil }
            let start = resolved.recipe.`init`
            return (
                (output.folder as NSString).lastPathComponent,
                steps[index].kind == .converted ? Self.json(start) : resolved.recipe.resolvedJSON
            )
        }
    }

    private static func json(_ value: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        // Encoding plain values cannot fail.
        return String(decoding: (try? encoder.encode(value)) ?? Data(), as: UTF8.self)
    }

    /// A line a model under what it was made from, with the start of its content hash.
    private static func lineage(_ steps: [SweepStep], _ made: [Int: SweepRecipes.Made]) -> String {
        func lines(_ index: Int, _ depth: Int) -> [String] {
            guard let record = made[index]?.record else { return [] }
            let tokens = record.tokens > 0 ? ", \(groupedDigits(record.tokens)) tokens" : ""
            return ["\(String(repeating: "  ", count: depth))\(record.output.prefix(12))  \(steps[index].name)\(tokens)"]
                + steps.indices.filter { steps[$0].source == index }.flatMap { lines($0, depth + 1) }
        }
        return steps.indices.filter { steps[$0].source == nil }.flatMap { lines($0, 0) }.joined(separator: "\n")
    }

    /// The whole file.
    var html: String {
        let seeds = "bars are standard errors over seeds"
        let sharing =
            results.sharesTrajectories
            ? "The learning rate is constant, so that the uptrainings of one child for several α are one trajectory."
            : "Each α is a run of its own, its learning-rate schedule scaled to its steps."
        return HTMLReport.page(
            title: results.name,
            body: """
                <p class="caption">\(results.caption.escapedForHTML) \(results.machine.escapedForHTML), \(results.date.escapedForHTML).</p>
                <div class="scroll">\(HTMLReport.table(results.columns, colors: results.summaries.map { families.firstIndex(of: $0.family) ?? 0 }))</div>
                \(section("Quality against cache size", "\(sizes) Lower left is better; \(seeds). The dashed line joins the models that no other beats in both directions\(budgets.count > 1 ? ", the fainter ones those of fewer tokens" : ""). \(leftOut)", pareto.figure))
                \(section(budgets.count > 1 ? "Recovery against α" : "After uptraining", "What is left to the \(hasControl ? "parent continued for the same tokens" : "parent"); \(seeds). \(budgets.count > 1 ? sharing : "")", recovery))
                \(section("After conversion, before any training", "Bits per byte; the upright line is the parent; \(seeds).", before))
                \(section("Time per token", timingCaption, timing))
                \(prediction)
                <h2>Training loss</h2>
                <p class="caption">Runs of the first seed.\(dashes)</p>
                \(curves.flatMap { group in LossPlot(group.curves).figures.map { (group.title.isEmpty ? "" : "<h3>\(group.title)</h3>\n") + "<figure>\($0)</figure>" } }.joined(separator: "\n"))
                \(HTMLReport.heatMap(similarity))
                <details><summary>Every run</summary><div class="scroll">\(HTMLReport.table(runColumns, colors: results.points.map { families.firstIndex(of: $0.family) ?? 0 }))</div></details>
                <details><summary>Lineage</summary><pre>\(lineage.escapedForHTML)</pre></details>
                <details><summary>Recipe, every default filled in</summary><pre>\(results.recipe.escapedForHTML)</pre></details>
                <details><summary>The recipes of all \(runs.count) steps</summary>
                \(runs.map { "<details><summary>\($0.name.escapedForHTML)</summary><pre>\($0.json.escapedForHTML)</pre></details>" }.joined(separator: "\n"))
                </details>
                """)
    }

    private var pareto: SweepParetoPlot { SweepParetoPlot(results.summaries, families: families) }

    /// What the marks' sizes mean.
    private var sizes: String {
        let budgets = Dictionary(
            results.summaries.filter { $0.point.kind == .continued || $0.point.kind == .child }.map {
                ($0.point.alpha, $0.point.tokens)
            }
        ) { max($0, $1) }
        guard budgets.count > 1 else { return "" }
        let names = budgets.keys.sorted().map { "α \($0) (\(groupedDigits(budgets[$0] ?? 0)))" }
        return "The larger a mark, the more tokens of uptraining: \(names.joined(separator: ", "))."
    }

    private var leftOut: String {
        let count = pareto.leftOut
        let what = "From scratch: the child's architecture trained from random weights on the uptraining's tokens"
        return count == 0 ? "\(what)." : "\(what); \(count) such models lie far above the drawing and are in the table only."
    }

    private func section(_ title: String, _ caption: String, _ figure: String) -> String {
        figure.isEmpty ? "" : "<h2>\(title)</h2>\n<p class=\"caption\">\(caption.escapedForHTML)</p>\n\(figure)"
    }

    private var hasControl: Bool { results.summaries.contains { $0.point.kind == .continued } }

    private var budgets: Set<Double> { Set(results.summaries.map(\.point.alpha).filter { $0 > 0 }) }

    /// Which architecture has which dashes.
    private var dashes: String {
        let names = results.summaries.compactMap(\.point.architecture).reduce(into: [String]()) { found, name in
            if !found.contains(name) { found.append(name) }
        }
        guard names.count > 1 else { return "" }
        let styles = ["solid", "dashed", "dotted", "dash-dotted"]
        // Past the fourth the last three come again, as the drawing has them.
        return " "
            + names.enumerated().map { "\($1.escapedForHTML): \(styles[$0 == 0 ? 0 : ($0 - 1) % 3 + 1])" }.joined(separator: ", ")
            + "."
    }

    private var recovery: String {
        if budgets.count == 1 {
            let rows = results.summaries.filter { $0.point.kind == .child }.compactMap { summary in
                (hasControl ? summary.toContinued : summary.toParent).map {
                    ErrorBarPlot.Row(
                        name: summary.name, color: families.firstIndex(of: summary.family) ?? 0, mean: $0.mean,
                        error: $0.standardError ?? 0)
                }
            }
            return ErrorBarPlot(
                rows: rows, xName: "bits per byte to the parent\(hasControl ? " continued" : "")", reference: 0
            ).figure
        }
        let shown = results.summaries.filter { $0.point.kind == .child || $0.point.kind == .scratch }
        let architectures = shown.compactMap(\.point.architecture).reduce(into: [String]()) { found, name in
            if !found.contains(name) { found.append(name) }
        }
        // One drawing for each architecture: lines of several would cross everywhere.
        return architectures.map { architecture in
            let chosen = shown.filter { $0.point.architecture == architecture && $0.point.kind == .child }
            let names = families.filter { family in chosen.contains { $0.family == family } }
            let plot = LinePlot(
                series: names.map { family in
                    LinePlot.Series(
                        name: family, color: families.firstIndex(of: family) ?? 0,
                        points: chosen.filter { $0.family == family }.sorted { $0.point.alpha < $1.point.alpha }.compactMap {
                            summary in
                            (hasControl ? summary.toContinued : summary.toParent).map {
                                (summary.point.alpha, $0.mean, $0.standardError ?? 0)
                            }
                        })
                }, xName: "α, share of the parent's steps (log scale)",
                yName: "bits per byte to the parent\(hasControl ? " continued" : "")", reference: 0,
                yText: { String(format: "%+.4f", $0) })
            let figure = plot.figure
            return figure.isEmpty || architectures.count == 1 ? figure : "<h3>\(architecture.escapedForHTML)</h3>\n\(figure)"
        }.joined(separator: "\n")
    }

    private var before: String {
        // The same conversion stands before each share of training: one of them is enough.
        let least = results.summaries.filter { $0.point.kind == .child }.map(\.point.alpha).min()
        let children = results.summaries.filter { $0.point.kind == .child && $0.point.alpha == least }
        let rows = children.compactMap { summary in
            summary.before.map { figure in
                ErrorBarPlot.Row(
                    name: summary.name, color: families.firstIndex(of: summary.family) ?? 0, mean: figure.mean,
                    error: figure.standardError ?? 0)
            }
        }
        let parent = results.summaries.first { $0.point.kind == .parent }?.bitsPerByte.mean
        return ErrorBarPlot(rows: rows, xName: "bits per byte", reference: parent).figure
    }

    private var timingCaption: String {
        guard let timing = results.timing else { return "" }
        let shares = timing.rows.map { "\($0.attention) \(Int((100 * $0.contextShare).rounded())) %" }.joined(separator: ", ")
        return
            "Decoding of \(timing.batch) sequences at once on the paged cache (\(timing.kvDtype)), behind \(timing.context) tokens of context and behind one: microseconds for a token of one sequence, mean over \(timing.tokens) steps, medians of \(timing.rows.first?.seconds.count ?? 0) alternating rounds with their quartiles' half distance. Share of the time that goes with the context: \(shares). \(timing.machine), \(timing.date)."
    }

    private var timing: String {
        guard let timing = results.timing else { return "" }
        func points(_ value: (DecodeTiming.Row) -> [Double]) -> [(x: Double, y: Double, error: Double)] {
            timing.rows.filter { $0.kvHeads > 0 }.sorted { $0.kvHeads < $1.kvHeads }.map { row in
                let figures = DecodeTiming.Row.quartiles(value(row))
                return (Double(row.kvHeads), figures.median * 1e6, figures.halfRange * 1e6)
            }
        }
        return LinePlot(
            series: [
                LinePlot.Series(name: "behind \(timing.context) tokens", color: 2, points: points(\.seconds)),
                LinePlot.Series(name: "behind 1 token", color: 1, points: points(\.secondsWithoutContext), isDashed: true),
            ], xName: "KV heads (log scale)", yName: "µs per token", fromZero: true, yText: { String(format: "%.1f µs", $0) }
        ).figure
    }

    private var prediction: String {
        guard !results.predictions.isEmpty else { return "" }
        func factor(_ value: Double?) -> String { value.map { String(format: "×/÷ %.2f", $0) } ?? "–" }
        func column(_ title: String, leading: Bool = false, _ cell: (RecoveryJudgement) -> String) -> ComparisonTable.Column {
            ComparisonTable.Column(title: title, cells: results.predictions.map(cell), leading: leading)
        }
        let columns = [
            column("within", leading: true) { String(format: "%g %%", $0.withinPercent) },
            column("conversions judged on") { "\($0.examples)" }, column("parents") { "\($0.parents)" },
            column("never there") { "\($0.unreached)" }, column("there untrained") { "\($0.immediate)" },
            column("error of the regression") { factor($0.regressionFactor) },
            column("error of the mean") { factor($0.meanFactor) },
            column("gain, ln tokens") { judgement in
                guard let gain = judgement.gain, let margin = judgement.gainMargin else { return "–" }
                return String(format: "%+.3f ± %.3f", gain, margin)
            },
            column("verdict", leading: true) { judgement in
                switch judgement.beatsMean {
                case nil: "cannot be judged: too few"
                case true?: "better than the mean"
                case false?: (judgement.gain ?? 0) > 0 ? "not told apart from the mean" : "does not beat the mean"
                }
            },
        ]
        return """
            <h2>Can recovery be predicted before training?</h2>
            <p class="caption">Tokens until an uptraining's held-out bits per byte are within so many percent of its parent's, predicted from the conversion's diagnosis (\(RecoveryExample.featureNames.joined(separator: ", "))) by ridge regression: each parent's conversions from the other parents' alone, against the others' mean. Errors are root mean squares as factors; the gain is the mean's absolute error minus the regression's, with its 95 % interval over parents. It takes \(RecoveryJudgement.leastExamples) conversions of \(RecoveryJudgement.leastParents) parents to judge.</p>
            <div class="scroll">\(HTMLReport.table(columns, colors: nil))</div>
            """
    }

    private var runColumns: [ComparisonTable.Column] {
        func column(_ title: String, leading: Bool = false, _ cell: (SweepPoint) -> String) -> ComparisonTable.Column {
            ComparisonTable.Column(title: title, cells: results.points.map(cell), leading: leading)
        }
        func decimal(_ value: Double?, _ format: String = "%.4f") -> String { value.map { String(format: format, $0) } ?? "–" }
        return [
            column("run", leading: true, \.folder),
            column("tokens") { groupedDigits($0.tokens) },
            column("tokens per parameter") { String(format: "%.2f", $0.tokensPerParameter) },
            column("bits/byte before") { decimal($0.bitsPerByteBefore) }, column("bits/byte") { decimal($0.bitsPerByte) },
            column("to parent") { decimal($0.difference, "%+.4f") }, column("± s.e.") { decimal($0.standardError) },
            column("to continued") { decimal($0.toContinued, "%+.4f") }, column("± s.e.") { decimal($0.toContinuedError) },
            column("KL (nats)") { decimal($0.klDivergence) }, column("wall") { $0.seconds.map(ProgressReporter.duration) ?? "–" },
        ]
    }
}
