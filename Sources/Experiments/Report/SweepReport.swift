import Checkpoints
import Conversion
import Files
import Foundation
import Models
import Recipes
import Training

/// The parts of a sweep's report.
struct SweepReport {
    private let results: SweepResults
    private let frontier: CacheFrontier?
    private let tasks: TaskTable?
    private let table: any ResultTable
    /// Training losses of the first seed's runs, the parent's and then those of each length.
    private let curves: [(title: String, curves: [LossPlot.Curve])]
    private let similarity: [HeadSimilarity]
    private let lineage: String
    private let runs: [(name: String, json: String)]
    /// The time beyond the budget, as a sentence; empty for none.
    private let overrun: String
    /// Methods, listed children and controls in the order of their colours.
    private let families: [String]

    /// Reads metrics and the first parent from the steps' folders.
    init(result: Sweep.Result, steps: [SweepStep], made: [Int: SweepRecipes.Made], recipes: SweepRecipes) throws {
        results = result.results
        (frontier, tasks) = (result.frontier, result.results.tasks)
        table = result.table
        overrun = result.budget.map { result.seconds > $0 ? " The last call took \(result.duration)." : "" } ?? ""
        let families = results.summaries.map(\.family).distinct()
        self.families = families
        let first = steps.indices.filter {
            steps[$0].seed == steps.first?.seed && steps[$0].uptrainSeed == steps.first { $0.kind == .converted }?.uptrainSeed
                || steps[$0].seed == steps.first?.seed && [.parent, .scratch].contains(steps[$0].kind)
        }
        let architectures = steps.compactMap(\.architecture).distinct()
        let points = Dictionary(results.points.map { ($0.model, $0) }) { first, _ in first }
        let isListed = recipes.lab.sweep == nil
        func curve(_ index: Int) -> LossPlot.Curve? {
            guard let output = made[index], let point = points[output.record.output] else { return nil }
            let losses = MetricsFile.read(path: output.folder + "/metrics.jsonl").compactMap { line in
                line.loss.map { (line.step, $0) }
            }
            // A given parent's losses are not known.
            guard !losses.isEmpty else { return nil }
            // A listed child has a colour and dashes of its own.
            let color = families.firstIndex(of: point.family) ?? 0
            let dash = isListed ? color % 4 : steps[index].architecture.flatMap { architectures.firstIndex(of: $0) }
            return LossPlot.Curve(
                name: point.name, color: color, dash: dash ?? 0,
                points: LossPlot.thinned(losses, to: 150))
        }
        var curves = [("", first.filter { steps[$0].kind == .parent }.compactMap(curve))]
        for length in steps.compactMap(\.length).distinct() {
            let own = first.filter { steps[$0].length == length }
            let title = length.alpha.map { "α = \($0)" } ?? "\(groupedDigits(own.first.map { steps[$0].tokens } ?? 0)) tokens"
            // Models from random weights would press the others together.
            curves.append((title, own.filter { steps[$0].kind != .scratch }.compactMap(curve)))
            curves.append(("\(title), from scratch", own.filter { steps[$0].kind == .scratch }.compactMap(curve)))
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
            let folder = output.folder
            let store = recipes.lab.sweep == nil ? steps[index].folder : (folder as NSString).lastPathComponent
            let isRun = steps[index].kind != .converted && !(steps[index].kind == .parent && steps[index].given != nil)
            return (store, isRun ? resolved.recipe.resolvedJSON : Self.json(resolved.recipe.`init`))
        }
    }

    private static func json(_ value: some Encodable) -> String {
        // Encoding plain values cannot fail.
        (try? CanonicalJSON.text(of: value, pretty: true)) ?? ""
    }

    /// A line for each model below its source, with the start of its content hash.
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
        let sharing =
            results.sharesTrajectories
            ? "The learning rate is constant, so that the uptrainings of one child for several lengths are one trajectory."
            : "Each length is a run of its own, its learning-rate schedule scaled to its steps."
        let (pareto, leftOut) = pareto
        var report = HTMLReport(
            title: results.name, caption: "\(table.caption) \(results.machine), \(results.date).\(overrun)", table: table,
            colors: results.summaries.map { color($0.family) },
            sections: [
                HTMLReport.Section(
                    title: budgets.count > 1 ? "Recovery against \(hasShares ? "α" : "tokens")" : "After uptraining",
                    caption:
                        "What is left to the \(hasControl ? "parent continued for the same tokens" : "parent"); \(bars(hasControl ? "parent continued" : "parent")). \(budgets.count > 1 ? sharing : "")",
                    content: recovery),
                HTMLReport.Section(
                    title: "After conversion, before any training",
                    caption: "Bits per byte\(hasOneParent ? "; the upright line is the parent" : ""); \(bars("parent")).",
                    content: before),
                HTMLReport.Section(title: "Time per token", caption: timingCaption, content: timing),
                prediction,
                HTMLReport.losses(curves, caption: "Runs of the first seed.\(dashes)"),
                HTMLReport.similarity(similarity),
            ])
        report.recommendations = results.recommendations
        report.opening = [
            HTMLReport.Section(
                title: "Quality against cache size",
                caption:
                    "\(sizes) Lower left is better; \(bars("parent")). The dashed line joins the models that no other beats in both directions\(budgets.count > 1 ? ", the fainter ones those of fewer tokens" : ""). \(leftOut)",
                content: pareto.figure)
        ]
        if let frontier { report.opening.append(HTMLReport.frontier(frontier, showsTable: true)) }
        if let tasks { report.opening.append(HTMLReport.tasks(tasks)) }
        report.details = [
            ("Every run", HTMLReport.table(runColumns, colors: results.points.map { color($0.family) })),
            ("Lineage", "<pre>\(lineage.escapedForHTML)</pre>"),
            ("Recipe, every default filled in", "<pre>\(results.recipe.escapedForHTML)</pre>"),
            (
                "The recipes of all \(runs.count) steps",
                runs.map { "<details><summary>\($0.name.escapedForHTML)</summary><pre>\($0.json.escapedForHTML)</pre></details>" }
                    .joined(separator: "\n")
            ),
        ]
        return report.html
    }

    private func color(_ family: String) -> Int { families.firstIndex(of: family) ?? 0 }

    /// The meaning of bars, one for all figures of a report.
    private func bars(_ reference: String) -> String {
        "bars are 95 % intervals of the difference to the \(reference), paired \(results.pairing == .seeds ? "by seed" : "over windows")"
    }

    /// The plot of the parent, the models trained from it and the ones from scratch near them; a sentence about the others.
    private var pareto: (plot: ParetoPlot, leftOut: String) {
        let finite = results.summaries.filter { $0.bitsPerByte.mean.isFinite }
        let trained = finite.filter { $0.point.kind != .scratch }.map(\.bitsPerByte.mean)
        let (low, high) = (trained.min() ?? 0, trained.max() ?? .infinity)
        let shown = finite.filter { $0.point.kind != .scratch || $0.bitsPerByte.mean <= high + 0.5 * (high - low) }
        let points = shown.map { summary in
            ParetoPlot.Point(
                name: summary.name, family: summary.family, color: color(summary.family), bytes: summary.point.cacheBytesPerToken,
                bitsPerByte: summary.bitsPerByte.mean,
                error: summary.margin(summary.toParent, summary.point.standardError, results.pairing) ?? 0,
                budget: summary.point.budget,
                detail: (summary.point.alpha > 0 ? ", \(summary.point.budgetName)" : "")
                    + ", \(groupedDigits(summary.point.tokens)) tokens")
        }
        let plot = ParetoPlot(points, xName: "measured cache bytes per token (log scale)")
        guard results.summaries.contains(where: { $0.point.kind == .scratch }) else { return (plot, "") }
        let count = finite.count - shown.count
        let fresh =
            "From scratch: the child's architecture trained from random weights on as many tokens as the parent and the child"
        return (
            plot, count == 0 ? "\(fresh)." : "\(fresh); \(count) such models lie far above the drawing and are in the table only."
        )
    }

    /// The plot of quality against cache size as an SVG file.
    var image: String? { HTMLReport.image(pareto.plot.figure) }

    /// The meaning of the marks' sizes.
    private var sizes: String {
        guard budgets.count > 1 else { return "" }
        let names = budgets.sorted().map { budget in
            let name = groupedDigits(budget)
            let share = results.summaries.first { $0.point.budget == budget && $0.point.alpha > 0 }?.point.alpha
            return share.map { "α \($0) (\(name))" } ?? name
        }
        return "The larger a mark, the more tokens of uptraining: \(names.joined(separator: ", "))."
    }

    private var hasControl: Bool { results.summaries.contains { $0.point.kind == .continued } }

    private var budgets: Set<Int> { Set(results.summaries.map(\.point.budget).filter { $0 > 0 }) }

    private var hasOneParent: Bool { Set(results.summaries.map(\.point.parent)).count == 1 }

    /// A summary's place on the axis of lengths.
    private func length(_ summary: SweepSummary) -> Double {
        hasShares ? summary.point.alpha : Double(summary.point.budget)
    }

    /// Whether lengths are shares of the parent's training.
    private var hasShares: Bool { results.summaries.contains { $0.point.alpha > 0 } }

    /// The dashes of each architecture.
    private var dashes: String {
        let names = results.points.filter { $0.child == nil }.compactMap(\.architecture).distinct()
        guard names.count > 1 else { return "" }
        let styles = ["solid", "dashed", "dotted", "dash-dotted"]
        // Past the fourth the last three come again, as the drawing has them.
        return " "
            + names.enumerated().map { "\($1): \(styles[$0 == 0 ? 0 : ($0 - 1) % 3 + 1])" }.joined(separator: ", ")
            + "."
    }

    /// The distance of a child to the control, or to the parent where there is none, with its bar.
    private func left(_ summary: SweepSummary) -> (mean: Double, error: Double)? {
        let (figure, error) =
            hasControl
            ? (summary.toContinued, summary.point.toContinuedError) : (summary.toParent, summary.point.standardError)
        return figure.map { ($0.mean, summary.margin($0, error, results.pairing) ?? 0) }
    }

    private var recovery: String {
        let children = results.summaries.filter { $0.point.kind == .child }
        if budgets.count == 1 {
            let rows = children.compactMap { summary in
                left(summary).map {
                    ErrorBarPlot.Row(name: summary.name, color: color(summary.family), mean: $0.mean, error: $0.error)
                }
            }
            return ErrorBarPlot(
                rows: rows, xName: "bits per byte to the parent\(hasControl ? " continued" : "")", reference: 0
            ).figure
        }
        let architectures = children.compactMap(\.point.architecture).distinct()
        // One drawing for each architecture: lines of several would cross everywhere.
        return architectures.map { architecture in
            let chosen = children.filter { $0.point.architecture == architecture }.sorted { $0.point.budget < $1.point.budget }
            let plot = LinePlot(
                series: families.filter { family in chosen.contains { $0.family == family } }.map { family in
                    LinePlot.Series(
                        name: family, color: color(family),
                        points: chosen.filter { $0.family == family }.compactMap { summary in
                            left(summary).map { (length(summary), $0.mean, $0.error) }
                        })
                }, xName: hasShares ? "α, share of the parent's steps (log scale)" : "tokens of uptraining (log scale)",
                yName: "bits per byte to the parent\(hasControl ? " continued" : "")", reference: 0,
                yText: { String(format: "%+.4f", $0) })
            let figure = plot.figure
            return figure.isEmpty || architectures.count == 1 ? figure : "<h3>\(architecture.escapedForHTML)</h3>\n\(figure)"
        }.joined(separator: "\n")
    }

    private var before: String {
        // The same conversion stands before each share of training: one of them is enough.
        let least = results.summaries.filter { $0.point.kind == .child }.map(\.point.budget).min()
        let children = results.summaries.filter { $0.point.kind == .child && $0.point.budget == least }
        let rows = children.compactMap { summary in
            summary.before.map { figure in
                ErrorBarPlot.Row(
                    name: summary.name, color: color(summary.family), mean: figure.mean,
                    error: summary.margin(summary.beforeToParent, summary.point.beforeError, results.pairing) ?? 0)
            }
        }
        let parent = results.summaries.first { $0.point.kind == .parent }?.bitsPerByte.mean
        return ErrorBarPlot(rows: rows, xName: "bits per byte", reference: hasOneParent ? parent : nil).figure
    }

    private var timingCaption: String {
        guard let timing = results.timing else { return "" }
        let shares = timing.rows.map { "\($0.attention) \(Int((100 * $0.contextShare).rounded())) %" }.joined(separator: ", ")
        return
            "Decoding of \(timing.batch) sequences at once on the paged cache (\(timing.kvDtype)), behind \(timing.context) tokens of context and behind one: microseconds for a token of one sequence, mean over \(timing.tokens) steps, means of \(timing.rows.first?.seconds.count ?? 0) alternating rounds; bars are 95 % intervals over rounds. Share of the time that goes with the context: \(shares). \(timing.machine), \(timing.date)."
    }

    private var timing: String {
        guard let timing = results.timing else { return "" }
        func points(_ value: (DecodeTiming.Row) -> [Double]) -> [(x: Double, y: Double, error: Double)] {
            timing.rows.filter { $0.kvHeads > 0 }.sorted { $0.kvHeads < $1.kvHeads }.compactMap { row in
                SweepSummary.Figure(value(row)).map { (Double(row.kvHeads), $0.mean * 1e6, ($0.margin ?? 0) * 1e6) }
            }
        }
        return LinePlot(
            series: [
                LinePlot.Series(name: "behind \(timing.context) tokens", color: 2, points: points(\.seconds)),
                LinePlot.Series(name: "behind 1 token", color: 1, points: points(\.secondsWithoutContext)),
            ], xName: "KV heads (log scale)", yName: "µs per token", fromZero: true, yText: { String(format: "%.1f µs", $0) }
        ).figure
    }

    private var prediction: HTMLReport.Section {
        func factor(_ value: Double?) -> String { value.map { String(format: "×/÷ %.2f", $0) } ?? "–" }
        func column(_ title: String, leading: Bool = false, _ cell: (RecoveryJudgement) -> String) -> TableColumn {
            TableColumn(title: title, cells: results.predictions.map(cell), leading: leading)
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
            column("verdict", leading: true) { $0.outcome ?? "cannot be judged: too few" },
        ]
        return HTMLReport.Section(
            title: "Can recovery be predicted before training?",
            caption:
                "Tokens until an uptraining's held-out bits per byte are within so many percent of its parent's, predicted from the conversion's diagnosis (\(RecoveryExample.featureNames.joined(separator: ", "))) by ridge regression: each parent's conversions from the other parents' alone, against the others' mean. Errors are root mean squares as factors; the gain is the mean's absolute error minus the regression's, with its 95 % interval over parents. It takes \(RecoveryJudgement.leastExamples) conversions of \(RecoveryJudgement.leastParents) parents to judge.",
            content: results.predictions.isEmpty ? "" : HTMLReport.table(columns, colors: nil))
    }

    private var runColumns: [TableColumn] {
        func column(_ title: String, leading: Bool = false, _ cell: (SweepPoint) -> String) -> TableColumn {
            TableColumn(title: title, cells: results.points.map(cell), leading: leading)
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
