import Foundation
import Conversion
import TestSupport
import Testing

@testable import Experiments

struct HTMLReportTests {
    private var html: String {
        let curves = SampleTable.table.rows.enumerated().map { index, row in
            LossPlot.Curve(
                name: row.name, color: index,
                points: (1...(index == 0 ? 1200 : 60)).map { ($0, 3 + 5 * exp(-Double($0) / 100)) })
        }
        var report = HTMLReport(title: "a & b", table: SampleTable.table)
        report.sections.append(HTMLReport.losses([("", curves)]))
        report.details = [("Recipe", "<pre>\("{\"a\": \"<b>\"}".escapedForHTML)</pre>")]
        return report.html
    }

    @Test func `the file needs nothing else and runs no script`() {
        for outside in ["http://", "https://", "<script", "<link", "<img", "@import", "url("] { #expect(!html.contains(outside)) }
    }

    @Test func `a plot as a file of its own is one drawing with its styles`() throws {
        let image = try #require(HTMLReport.image(ParetoPlot(SampleTable.table).figure))
        #expect(image.hasPrefix("<svg xmlns=\"http://www.w3.org/2000/svg\"") && image.hasSuffix("</svg>\n"))
        #expect(image.matches(of: /<svg/).count == 1 && image.contains("<style>") && image.contains("kv1-&lt;mean&gt;"))
        #expect(HTMLReport.image("<p>No model has a finite figure.</p>") == nil)
    }

    @Test func `names are escaped wherever they stand`() {
        #expect(html.contains("<h1>a &amp; b</h1>"))
        #expect(html.contains("kv1-&lt;mean&gt;"))
        #expect(!html.contains("<mean>"))
        #expect(!html.contains("<b>"))
    }

    @Test func `the page is well-formed XML but for its void elements`() throws {
        let closed = html.replacing("<!DOCTYPE html>\n", with: "").replacing(/<meta([^>]*)>/) { "<meta\($0.1)/>" }
        var open: [Substring] = []
        for tag in closed.matches(of: /<(\/?)([a-z0-9]+)((?:[^>"]|"[^"]*")*?)(\/?)>/) {
            if tag.1 == "/" {
                #expect(open.popLast() == tag.2)
            } else if tag.4 != "/" {
                open.append(tag.2)
            }
        }
        #expect(open.isEmpty)
    }

    @Test func `short runs get a figure of their own`() {
        // Beside the frontier.
        #expect(html.components(separatedBy: "<figure>").count - 1 == 3)
    }

    @Test func `the heat map has a square for each pair of heads in each layer`() throws {
        let config = TinyModel.config(layers: 3, heads: 4, kvHeads: 4)
        let parameters = TinyModel.parameters(config)
        let layers = try (0..<3).map { try HeadSimilarity(config, parameters, layer: $0) }
        let page = HTMLReport.similarity(layers).markup
        #expect(page.components(separatedBy: "<title>raw similarity").count - 1 == 3 * 2 * 6)
        #expect(page.components(separatedBy: "<title>aligned similarity").count - 1 == 3 * 2 * 6)
        for layer in layers {
            for i in 0..<4 {
                for j in 0..<i {
                    #expect(layer.keys.aligned[i][j] >= abs(layer.keys.raw[i][j]) - 1e-9)
                    #expect(layer.values.aligned[i][j] >= abs(layer.values.raw[i][j]) - 1e-9)
                }
            }
        }
    }

    @Test func `figures that are not finite and empty tables still give a page`() {
        var table = SampleTable.table
        for index in table.rows.indices {
            table.rows[index].bitsPerByte = .nan
            table.rows[index].standardError = .infinity
        }
        #expect(HTMLReport(title: "t", table: table).html.contains("No model has a finite figure."))
        let curve = LossPlot.Curve(name: "x", color: 0, points: [(1, .nan), (2, .infinity)])
        #expect(HTMLReport.losses([("", [curve])]).markup.isEmpty)
        let one = LossPlot.Curve(name: "x", color: 0, points: [(1, 3)])
        let empty = ComparisonTable(text: "", contextTokens: 1, batch: 1, kvDtype: "fp16", rows: [])
        var report = HTMLReport(title: "t", table: empty)
        report.sections.append(HTMLReport.losses([("", [one])]))
        let page = report.html
        #expect(!page.contains("nan") && !page.contains("inf"))
    }

    @Test func `the frontier is what no other beats in both directions`() {
        let rows: [(bytes: Int, bits: Double)] = [(8, 1.0), (8, 0.9), (4, 1.1), (2, 1.05), (1, 1.2), (1, 1.3)]
        #expect(ParetoPlot.frontier(rows) == [4, 3, 1])
        #expect(ParetoPlot.frontier([]) == [])
    }

    @Test func `labels of a crowd of points cover neither each other nor a point`() {
        var points: [(x: Double, y: Double)] = (0..<12).map { (x: 300 + Double($0 % 2), y: 200 + Double($0)) }
        points.append((x: 420, y: 205))
        let bounds = LabelPlacement.Box(x: 0, y: 0, width: 900, height: 400)
        var placement = LabelPlacement(bounds: bounds, points: points)
        let boxes = points.map { placement.place(width: 90, besideX: $0.x, y: $0.y) }
        for (index, box) in boxes.enumerated() {
            #expect(!boxes[..<index].contains(where: box.overlaps))
            for point in points {
                #expect(!box.overlaps(LabelPlacement.Box(x: point.x - 6, y: point.y - 6, width: 12, height: 12)))
            }
            #expect(box.x >= 0 && box.x + box.width <= 900)
            #expect(box.y >= 0 && box.y + box.height <= 400)
        }
    }

    @Test func `a few models bear their names, many a legend of their families`() {
        func figure(_ count: Int) -> String {
            let points = (0..<count).map { index -> ParetoPlot.Point in
                let family = index % 3
                return ParetoPlot.Point(
                    name: "m\(index / 2)", family: "f\(family)", color: family, bytes: Double(64 << (index / 4)),
                    bitsPerByte: 1.5 - Double(index) / 100, budget: 1000 * (1 + index % 2))
            }
            return ParetoPlot(points).figure
        }
        #expect(figure(12).contains(">m3</text>") && !figure(12).contains("legend"))
        #expect(!figure(13).contains(">m3</text>") && figure(13).components(separatedBy: "<li>").count - 1 == 3)
        // Each model's shares are joined, and each share has a frontier, in a wide and a narrow drawing.
        #expect(figure(12).components(separatedBy: "class=\"lane").count - 1 == 2 * 6)
        #expect(figure(12).components(separatedBy: "class=\"frontier").count - 1 == 2 * 2)
    }

    @Test func `ticks are round and inside the axis`() {
        let axis = PlotAxis(domain: 1.371...1.437, pixels: (0, 100))
        #expect(axis.ticks(about: 6).map(\.text) == ["1.38", "1.39", "1.40", "1.41", "1.42", "1.43"])
        #expect(
            PlotAxis(domain: 0...1200, pixels: (0, 1)).ticks(about: 6).map(\.text) == [
                "0", "200", "400", "600", "800", "1000", "1200",
            ])
        #expect(PlotAxis(showing: [5], pixels: (0, 100)).position(5) == 50)
        #expect(abs(PlotAxis(showing: [1, 2, 4], pixels: (0, 100), logarithmic: true).position(2) - 50) < 1e-9)
    }

    @Test func `thinned curves keep their length, their last step and their mean`() {
        let points = (1...1000).map { (step: $0, loss: Double($0)) }
        let thin = LossPlot.thinned(points, to: 100)
        #expect(thin.count == 100)
        #expect(thin.last?.step == 1000)
        #expect(thin.first?.loss == 5.5)
        #expect(LossPlot.thinned(points, to: 1000).count == 1000)
    }
}
