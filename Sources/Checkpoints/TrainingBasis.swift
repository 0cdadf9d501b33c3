import Foundation

/// The part of a training that an uptraining takes over from its parent, kept in every trained checkpoint's lineage.
public struct TrainingBasis: Sendable, Codable, Hashable {
    /// The version of the stored form.
    public private(set) var version = 1
    /// The steps that alpha is a share of: those of the first ancestor's training.
    public var baseSteps: Int
    /// The run's steps.
    public var steps: Int
    /// Sequences per step.
    public var batch: Int
    /// Tokens per sequence.
    public var seq: Int
    /// The schedule over ``baseSteps``.
    public var schedule: LearningRateSchedule
    /// The global index of the first sample that neither the run nor an ancestor has read.
    public var nextSample = 0

    /// The basis of a training from scratch.
    public init(steps: Int, batch: Int, seq: Int, schedule: LearningRateSchedule) {
        (baseSteps, self.steps, self.batch, self.seq, self.schedule) = (steps, steps, batch, seq, schedule)
    }

    /// Decodes a basis; without a version it has the first form, without a next sample. Throws `DecodingError` for a later
    /// form.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        version = try values.decodeIfPresent(Int.self, forKey: .version) ?? 1
        guard version == 1 else {
            throw DecodingError.dataCorruptedError(
                forKey: .version, in: values,
                debugDescription: "the training basis has form \(version), written by a later kvlab; this one reads form 1")
        }
        baseSteps = try values.decode(Int.self, forKey: .baseSteps)
        steps = try values.decode(Int.self, forKey: .steps)
        batch = try values.decode(Int.self, forKey: .batch)
        seq = try values.decode(Int.self, forKey: .seq)
        schedule = try values.decode(LearningRateSchedule.self, forKey: .schedule)
        nextSample = try values.decodeIfPresent(Int.self, forKey: .nextSample) ?? 0
    }
}

extension Lineage {
    /// Moves a training basis from the notes, where kvlab 0.1.0 kept it as JSON in a string, to ``training``.
    ///
    /// Throws `DecodingError` if the notes' basis cannot be read.
    mutating func readNotes() throws {
        guard training == nil, let text = notes?.removeValue(forKey: "basis") else { return }
        training = try JSONDecoder().decode(TrainingBasis.self, from: Data(text.utf8))
        if let next = notes?.removeValue(forKey: "nextSample").flatMap({ Int($0) }) { training?.nextSample = next }
        if notes?.isEmpty == true { notes = nil }
    }
}
