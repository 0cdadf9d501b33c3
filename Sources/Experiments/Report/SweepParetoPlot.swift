import Foundation

/// Bits per byte over measured cache bytes per token, with the tokens of uptraining as the size of a mark; lower left is better.
///
/// Models of equal bytes stand side by side, one lane a method, joined in the order of their tokens. For each number of tokens a line joins
/// the models that no other of at most as many tokens beats in both directions.
struct SweepParetoPlot {
    private let summaries: [SweepSummary]
    private let families: [String]
    /// Token budgets, ascending.
    private let budgets: [Double]

    /// Models left out because they lie far above all that were trained from the parent.
    let leftOut: Int

    /// Models that are trained from the parent or are it, and those from scratch that lie near them.
    init(_ summaries: [SweepSummary], families: [String]) {
        let finite = summaries.filter { $0.bitsPerByte.mean.isFinite && $0.point.cacheBytesPerToken > 0 }
        let trained = finite.filter { $0.point.kind != .scratch }.map(\.bitsPerByte.mean)
        let (low, high) = (trained.min() ?? 0, trained.max() ?? .infinity)
        self.summaries = finite.filter { $0.point.kind != .scratch || $0.bitsPerByte.mean <= high + 0.5 * (high - low) }
        leftOut = finite.count - self.summaries.count
        self.families = families
        budgets = Set(self.summaries.map(\.point.alpha)).filter { $0 > 0 }.sorted()
    }

    private func radius(_ alpha: Double) -> Double {
        guard let index = budgets.firstIndex(of: alpha) else { return 5.5 }
        return budgets.count == 1 ? 5 : 3 + 4.5 * Double(index) / Double(budgets.count - 1)
    }

    var figure: String {
        guard !summaries.isEmpty else { return "<p>No model has a finite figure.</p>" }
        let (left, right, top, bottom) = (86.0, 880.0, 18.0, 430.0)
        var svg = SVG(width: 900, height: 490)
        let x = PlotAxis(
            showing: summaries.map(\.point.cacheBytesPerToken), pixels: (left, right), logarithmic: true, margin: 0.12)
        let y = PlotAxis(
            showing: summaries.flatMap { summary in
                let error = summary.bitsPerByte.standardError ?? 0
                return [summary.bitsPerByte.mean - error, summary.bitsPerByte.mean + error]
            }, pixels: (bottom, top), margin: 0.05)
        for tick in y.ticks(about: 8) {
            svg.line(left, y.position(tick.value), right, y.position(tick.value), style: "grid")
            svg.text(tick.text, left - 8, y.position(tick.value) + 4, style: "tick", anchor: "end")
        }
        var free = -Double.infinity
        for bytes in Set(summaries.map(\.point.cacheBytesPerToken)).sorted() {
            let position = x.position(bytes)
            svg.line(position, bottom, position, bottom + 5, style: "axis")
            guard position - 30 > free else { continue }
            svg.text(byteCountText(Int(bytes.rounded())), position, bottom + 20, style: "tick", anchor: "middle")
            free = position + 30
        }
        svg.line(left, bottom, right, bottom, style: "axis")
        svg.text("measured cache bytes per token (log scale)", (left + right) / 2, bottom + 48, style: "name", anchor: "middle")
        svg.text("bits per byte", 18, (top + bottom) / 2, style: "name", anchor: "middle", rotated: true)
        for budget in budgets { frontier(budget, x, y, into: &svg) }
        lanes(x, y, into: &svg)
        for summary in summaries { mark(summary, x, y, into: &svg) }
        let shown = Set(summaries.map(\.family))
        let colors = families.enumerated().map { ($1, $0, false) }.filter { shown.contains($0.0) }
        return "<figure>" + svg.markup(label: "Bits per byte over measured cache bytes per token, larger marks for more tokens")
            + "\n"
            + LinePlot.legend(colors) + "</figure>"
    }

    /// The frontier of models of at most a share `budget` of the parent's steps, the parent's own beyond it.
    private func frontier(_ budget: Double, _ x: PlotAxis, _ y: PlotAxis, into svg: inout SVG) {
        let chosen = summaries.filter { $0.point.alpha <= budget }
        let best = ParetoPlot.frontier(
            chosen.map { (bytes: Int($0.point.cacheBytesPerToken.rounded()), bits: $0.bitsPerByte.mean) })
        guard best.count > 1, let last = budgets.last else { return }
        svg.path(
            best.map { (x.position(chosen[$0].point.cacheBytesPerToken), y.position(chosen[$0].bitsPerByte.mean)) },
            style: budget == last ? "frontier" : "frontier faint")
    }

    private func position(_ summary: SweepSummary, _ x: PlotAxis) -> Double {
        let lane = families.firstIndex(of: summary.family) ?? 0
        return x.position(summary.point.cacheBytesPerToken) + (Double(lane) - Double(families.count - 1) / 2) * 13
    }

    private func lanes(_ x: PlotAxis, _ y: PlotAxis, into svg: inout SVG) {
        let groups = Dictionary(grouping: summaries, by: \.name)
        for name in groups.keys.sorted() {
            let line = (groups[name] ?? []).sorted { $0.point.alpha < $1.point.alpha }
            guard line.count > 1, let first = line.first else { continue }
            svg.path(
                line.map { (position($0, x), y.position($0.bitsPerByte.mean)) },
                style: "lane c\((families.firstIndex(of: first.family) ?? 0) % HTMLReport.colors)")
        }
    }

    private func mark(_ summary: SweepSummary, _ x: PlotAxis, _ y: PlotAxis, into svg: inout SVG) {
        let (cx, mean) = (position(summary, x), summary.bitsPerByte.mean)
        let style = "c\((families.firstIndex(of: summary.family) ?? 0) % HTMLReport.colors)"
        if let error = summary.bitsPerByte.standardError, error.isFinite {
            svg.line(cx, y.position(mean - error), cx, y.position(mean + error), style: "bar \(style)")
        }
        let text =
            "\(summary.name)\(summary.point.alpha > 0 ? ", α \(summary.point.alpha)" : ""): "
            + "\(String(format: "%.4f", mean)) bits per byte, \(groupedDigits(summary.point.tokens)) tokens"
        svg.add(
            "<circle cx=\"\(SVG.text(cx))\" cy=\"\(SVG.text(y.position(mean)))\" r=\"\(SVG.text(radius(summary.point.alpha)))\" class=\"point \(style)\"><title>\(text.escapedForHTML)</title></circle>"
        )
    }
}
