import Foundation
import Testing

@testable import Experiments

@Suite struct ServingReportTests {
    private func round(_ speed: Double, answered: Int = 4) -> ServingLoad.Round {
        ServingLoad.Round(
            answered: answered, failed: 4 - answered, tokensPerSecond: speed, requestsPerSecond: speed / 64,
            firstToken: [0.01, 0.02, 0.03], perToken: [0.001, 0.002, 0.003])
    }

    private var report: ServingReport {
        let models = [("mha8", "MHA", 1024, 292, 7432.0), ("kv2", "GQA-2", 256, 1024, 9199), ("mla", "MLA-56", 256, 1024, 9329)]
        return ServingReport(
            rows: models.map { name, attention, bytes, held, speed in
                ServingReport.Row(
                    model: name, attention: attention, kvBytesPerToken: bytes, sequencesHeld: held,
                    closed: ServingLoad(rate: nil, rounds: [round(speed), round(speed - 100), round(speed + 300)]),
                    open: ServingLoad(rate: 108.375, rounds: [round(speed / 2, answered: 3), round(speed / 2)]))
            }, caption: "8 requests & more")
    }

    @Test func `a spread is the median and the furthest rounds, of those that are finite`() {
        let three = ServingLoad.Spread([3, 1, 2])
        #expect((three.median, three.lowest, three.highest) == (2, 1, 3))
        let four = ServingLoad.Spread([4, .nan, 1, 2, 10])
        #expect((four.median, four.lowest, four.highest) == (3, 1, 10))
        #expect(four.text(1) == "3.0" && four.range(0) == "1–10" && ServingLoad.Spread([5]).range(0) == nil)
        #expect(ServingLoad.Spread([.nan]).median.isNaN && ServingLoad.Spread([]).text(0) == "–")
    }

    @Test func `the table gives medians with their ranges, one line a load`() {
        let lines = report.markdown.components(separatedBy: "\n")
        #expect(lines.count == 8)
        #expect(
            lines[2] == "| mha8 | MHA | 1024 | 292 | closed | 12 of 12 | 7432 (7332–7732) | 116.1 (114.6–120.8) "
                + "| 10.0 | 20.0 | 30.0 | 1.00 | 2.00 | 3.00 |")
        #expect(lines[3].hasPrefix("| mha8 | MHA | 1024 | 292 | open, 108/s | 7 of 8 | 3716 | 58.1 |"))
        #expect(report.html.contains("8 requests &amp; more") && report.html.contains("<br><small>7332–7732</small>"))
    }

    @Test func `the plots name every point, colour by architecture, draw no lines, and end above the highest bar`() {
        for (plot, count) in [(report.throughput, 2), (report.sequences, 1)] {
            let figure = plot.figure
            for name in ["mha8", "kv2", "mla"] {
                #expect(figure.components(separatedBy: "class=\"label\">\(name)<").count == count + 1, "\(name)")
            }
            for (attention, color) in [("MHA", 2), ("GQA-2", 3), ("MLA-56", 4)] {
                #expect(figure.contains("class=\"point c\(color)\"></circle></svg>\(attention)"))
            }
            // The legend names the architectures, and the two loops where both are there.
            let legend = count == 2 ? 5 : 3
            #expect(!figure.contains("<path") && figure.components(separatedBy: "<circle").count == 3 * count + legend + 1)
        }
        #expect(report.throughput.figure.contains("open loop"))
        // 9329 + 300 lies below 10000; 1024 sequences below 1200.
        #expect(report.throughput.figure.contains(">10000</text>") && report.sequences.figure.contains(">1200</text>"))
    }

    @Test func `an axis from zero has a tick at its end, past every value`() {
        for highest in [0.3, 1, 7, 9629, 10_000, 10_001, 1024, 123_456, 2.5e9] {
            let axis = PlotAxis(fromZeroPast: highest, pixels: (100, 0), ticks: 6)
            let ticks = axis.ticks(about: 6)
            #expect(ticks.first?.value == 0 && (ticks.last?.value ?? 0) >= highest * (1 - 1e-9), "\(highest)")
            #expect(ticks.count >= 3 && ticks.count <= 10 && axis.position(highest) >= -1e-9, "\(highest): \(ticks.count)")
        }
    }

    @Test func `models that answered nothing have no point and a dash for each figure`() {
        var report = report
        let nothing = ServingLoad.Round(
            answered: 0, failed: 4, tokensPerSecond: .nan, requestsPerSecond: 0, firstToken: [.nan, .nan, .nan],
            perToken: [.nan, .nan, .nan])
        report.rows = [report.rows[0]]
        (report.rows[0].closed, report.rows[0].open) = (ServingLoad(rate: nil, rounds: [nothing]), nil)
        #expect(report.markdown.contains("| 0 of 4 | – | 0.0 | – | – | – | – | – | – |"))
        #expect(report.throughput.figure.contains("No model has a finite figure."))
    }
}
