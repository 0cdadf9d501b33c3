import Foundation
import TestSupport
import Testing

@testable import Checkpoints

@Suite struct TrainingBasisTests {
    private let scratch = ScratchDirectory()
    private let schedule = LearningRateSchedule(shape: .wsd, peak: 0.1, final: 0.01, warmupSteps: 3, steps: 40)

    private func saved(_ change: (inout Lineage) -> Void) throws -> String {
        var checkpoint = TinyCheckpoint.make(trained: false)
        change(&checkpoint.lineage)
        try checkpoint.save(to: scratch["m.h5"])
        return scratch["m.h5"]
    }

    @Test func `a training basis comes back as it was kept`() throws {
        var basis = TrainingBasis(steps: 40, batch: 4, seq: 16, schedule: schedule)
        (basis.steps, basis.nextSample) = (2, 168)
        let path = try saved { $0.training = basis }
        #expect(try Checkpoint.load(path).lineage.training == basis)
    }

    @Test func `a training without a known length of the first ancestor comes back too, in a form of its own`() throws {
        var basis = TrainingBasis(steps: 40, batch: 4, seq: 16, schedule: schedule)
        basis.baseSteps = nil
        let path = try saved { $0.training = basis }
        #expect(try Checkpoint.load(path).lineage.training == basis)
        #expect(String(decoding: try JSONEncoder().encode(basis), as: UTF8.self).contains(#""version":2"#))
    }

    @Test func `a basis in the notes of an older checkpoint is read`() throws {
        let old = """
            {"baseSteps":40,"batch":4,"schedule":{"decayFraction":0.2,"final":0.01,"peak":0.1,"shape":"wsd","steps":40,\
            "warmupSteps":3},"seq":16,"steps":40}
            """
        let path = try saved { $0.notes = ["basis": old, "nextSample": "160", "another": "note"] }
        let lineage = try Checkpoint.load(path).lineage
        var basis = TrainingBasis(steps: 40, batch: 4, seq: 16, schedule: schedule)
        basis.nextSample = 160
        #expect(lineage.training == basis && lineage.notes == ["another": "note"])
    }

    @Test func `a basis of a later form is refused with both forms`() throws {
        let path = try saved { $0.notes = ["basis": #"{"version":3}"#] }
        let error = #expect(throws: CheckpointError.self) { try Checkpoint.load(path) }
        let text = error.map { "\($0)" } ?? ""
        #expect(text.contains("has form 3, written by a later kvlab; this one reads forms 1 and 2"), "\(text)")
    }
}
