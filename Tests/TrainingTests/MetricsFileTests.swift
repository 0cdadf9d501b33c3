import TestSupport
import Testing

@testable import Training

struct MetricsFileTests {
    private let scratch = ScratchDirectory()

    private func line(_ step: Int, loss: Double) -> MetricsFile.Line {
        var line = MetricsFile.Line(step: step)
        line.loss = loss
        return line
    }

    @Test func `each line is in the file as soon as it is written`() throws {
        let file = try MetricsFile(path: scratch["metrics.jsonl"], keepingThrough: 0)
        try file.write(line(1, loss: 2.5))
        #expect(scratch.bytes("metrics.jsonl") == Array("{\"loss\":2.5,\"step\":1}\n".utf8))
        try file.write(line(2, loss: 2.25))
        #expect(MetricsFile.read(path: scratch["metrics.jsonl"]) == [line(1, loss: 2.5), line(2, loss: 2.25)])
    }

    @Test func `a resumed run drops what it will do again, and a line cut short`() throws {
        let text = "{\"loss\":3,\"step\":1}\n{\"loss\":2,\"step\":2}\n{\"loss\":1,\"step\":3}\n{\"loss\":0.5,\"st"
        try scratch.write(text.utf8, to: "metrics.jsonl")
        let file = try MetricsFile(path: scratch["metrics.jsonl"], keepingThrough: 2)
        try file.write(line(3, loss: 1.5))
        #expect(MetricsFile.read(path: scratch["metrics.jsonl"]) == [line(1, loss: 3), line(2, loss: 2), line(3, loss: 1.5)])
        #expect(scratch.names == ["metrics.jsonl"])
    }

    @Test func `a figure that is not finite is refused with the step`() throws {
        let file = try MetricsFile(path: scratch["metrics.jsonl"], keepingThrough: 0)
        #expect(throws: TrainingError.unwritableMetrics(path: scratch["metrics.jsonl"], step: 4)) {
            try file.write(line(4, loss: .nan))
        }
    }

    @Test func `no file reads as no lines`() {
        #expect(MetricsFile.read(path: scratch["none"]) == [])
    }
}
