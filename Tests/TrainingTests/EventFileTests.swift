import Foundation
import TestSupport
import Testing

@testable import Training

@Suite struct EventFileTests {
    private let scratch = ScratchDirectory()

    private static var fixture: [UInt8] {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/events.tfevents")
        return (try? [UInt8](Data(contentsOf: file))) ?? []
    }

    private var lines: [MetricsFile.Line] {
        var (step, validation) = (MetricsFile.Line(step: 1), MetricsFile.Line(step: 300))
        (step.loss, step.learningRate, step.gradientNorm, step.tokensPerSecond) = (2.5, 0.001, 0.75, 1234.5)
        (validation.validationLoss, validation.validationBitsPerByte) = (2.25, 1.1)
        return [step, validation]
    }

    private func open(through step: Int, lines: [MetricsFile.Line] = []) throws -> EventFile {
        try EventFile(path: scratch["events"], keepingThrough: step, lines: lines) { 1_700_000_000.25 }
    }

    @Test func `the file is byte for byte TensorBoard's own, and a line without figures adds nothing`() throws {
        let file = try open(through: 0)
        var sample = MetricsFile.Line(step: 2)
        sample.sample = "The end"
        for line in [lines[0], sample, lines[1]] { try file.write(line) }
        #expect(Self.fixture.count > 200)
        #expect(scratch.bytes("events") == Self.fixture)
    }

    @Test func `a file that is begun late has the metrics so far`() throws {
        _ = try open(through: 300, lines: lines)
        #expect(scratch.bytes("events") == Self.fixture)
    }

    @Test func `a resumed run drops what it will do again, and a record that is cut or damaged`() throws {
        let whole = Self.fixture
        let records = try { () throws -> [[UInt8]] in
            try scratch.write(whole, to: "events")
            return EventFile.records(path: scratch["events"])
        }()
        #expect(records.count == 3 && records.flatMap(EventFile.framed) == whole)
        for (bytes, step) in [(whole, 299), (Array(whole.dropLast()), 300)] {
            try scratch.write(bytes, to: "events")
            let file = try open(through: step, lines: [])
            #expect(EventFile.records(path: scratch["events"]) == Array(records.prefix(2)))
            try file.write(lines[1])
            #expect(scratch.bytes("events") == whole)
        }
        for index in whole.indices {
            var damaged = whole
            damaged[index] ^= 4
            try scratch.write(damaged, to: "events")
            let found = EventFile.records(path: scratch["events"])
            #expect(found.count < 3 && found == Array(records.prefix(found.count)), "byte \(index)")
        }
        #expect(scratch.names == ["events"])
    }
}
