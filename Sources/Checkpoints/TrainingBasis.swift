import Foundation

/// The part of a training that an uptraining takes over from its parent, kept in every trained checkpoint's lineage.
public struct TrainingBasis: Sendable, Codable, Hashable {
    /// The steps that alpha is a share of: those of the first ancestor's training; nil where that is of another origin and unknown.
    public var baseSteps: Int?
    /// The run's steps.
    public var steps: Int
    /// Sequences per step.
    public var batch: Int
    /// Tokens per sequence.
    public var seq: Int
    /// The schedule over the steps that it was made for.
    public var schedule: LearningRateSchedule
    /// The global index of the first sample that neither the run nor an ancestor has read.
    public var nextSample = 0

    /// The basis of a training from scratch.
    public init(steps: Int, batch: Int, seq: Int, schedule: LearningRateSchedule) {
        (baseSteps, self.steps, self.batch, self.seq, self.schedule) = (steps, steps, batch, seq, schedule)
    }

    /// The version of the stored form: 2 without ``baseSteps``, which the first form always has.
    private var version: Int { baseSteps == nil ? 2 : 1 }

    private enum CodingKeys: String, CodingKey { case version, baseSteps, steps, batch, seq, schedule, nextSample }

    /// Encodes the basis in the first form that holds it.
    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(version, forKey: .version)
        try values.encodeIfPresent(baseSteps, forKey: .baseSteps)
        try values.encode(steps, forKey: .steps)
        try values.encode(batch, forKey: .batch)
        try values.encode(seq, forKey: .seq)
        try values.encode(schedule, forKey: .schedule)
        try values.encode(nextSample, forKey: .nextSample)
    }

    /// Decodes a basis; without a version it has the first form, without a next sample. Throws `DecodingError` for a later
    /// form.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let version = try values.decodeIfPresent(Int.self, forKey: .version) ?? 1
        guard (1...2).contains(version) else {
            throw DecodingError.dataCorruptedError(
                forKey: .version, in: values,
                debugDescription: "the training basis has form \(version), written by a later kvlab; this one reads forms 1 and 2"
            )
        }
        baseSteps = version == 1 ? try values.decode(Int.self, forKey: .baseSteps) : nil
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
