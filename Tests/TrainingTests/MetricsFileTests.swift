import Foundation
import TestSupport
import Testing

@testable import Training

@Suite struct MetricsFileTests {
    private func line(_ step: Int) -> MetricsFile.Line {
        var line = MetricsFile.Line(step: step)
        line.loss = Double(step) / 2
        return line
    }

    @Test func `a resumed run's metrics go on from its step`() throws {
        let scratch = ScratchDirectory()
        let first = try MetricsFile(path: scratch["metrics.jsonl"], keepingThrough: 0)
        for step in 1...7 { try first.write(line(step)) }
        // As if killed in the middle of a line.
        try scratch.write(scratch.bytes("metrics.jsonl") + Array("{\"step\":8,\"lo".utf8), to: "metrics.jsonl")
        let second = try MetricsFile(path: scratch["metrics.jsonl"], keepingThrough: 5)
        try second.write(line(6))
        #expect(MetricsFile.read(path: scratch["metrics.jsonl"]) == (1...6).map(line))
    }

    @Test func `a figure that is not finite is refused, naming the step`() throws {
        let scratch = ScratchDirectory()
        var bad = line(3)
        bad.gradientNorm = .infinity
        let file = try MetricsFile(path: scratch["metrics.jsonl"], keepingThrough: 0)
        #expect(throws: TrainingError.unwritableMetrics(path: scratch["metrics.jsonl"], step: 3)) { try file.write(bad) }
    }
}
