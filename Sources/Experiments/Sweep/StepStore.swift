import Checkpoints
import Files
import Foundation

/// Folders of steps, each named by what the step is and by a hash of all that decides its outcome.
///
/// A step is done where its folder holds a record with its key and the model whose content hash the record names: what is done is
/// never done again, and what was changed or cut short is.
struct StepStore: Sendable {
    /// Raised when a step of the same recipe and inputs would come out otherwise than before.
    static let format = 1

    /// What a finished step leaves beside its model, as step.json.
    struct Record: Codable, Sendable, Equatable {
        /// ``StepStore/format``.
        var format: Int
        /// What the step made.
        var kind: SweepStep.Kind
        /// Hash of the step's recipe, its inputs' content and the format.
        var key: String
        /// Content hashes of what went in: texts by path, models by what they were to the step.
        var inputs: [String: String]
        /// Content hash of the model.
        var output: String
        /// Seconds spent on it, over all the calls that it took.
        var seconds: Double
        /// Tokens trained on.
        var tokens: Int
        /// When it was finished, UTC.
        var finished: String
        /// Where.
        var machine: String
    }

    let directory: String

    init(directory: String) { self.directory = directory }

    /// The key of a step: `recipe` names inputs by their hashes, so that it doesn't matter where they lie.
    static func key(_ kind: SweepStep.Kind, recipe: String, inputs: [String: String]) -> String {
        let names = inputs.keys.sorted().map { "\($0) \(inputs[$0] ?? "")\n" }.joined()
        return SHA256Digest(of: "kvlab step \(format)\n\(kind.rawValue)\n\(names)\(recipe)\n").hex
    }

    /// The step's folder.
    func folder(_ name: String, key: String) -> String { "\(directory)/\(name)-\(key.prefix(12))" }

    /// The record of a step that is done; nil where it isn't. Throws what is wrong with the model of one that was.
    func record(_ folder: String, key: String) throws -> Record? {
        guard let data = TextFile.ownBytes(folder + "/step.json"),
            let record = try? JSONDecoder().decode(Record.self, from: data), record.key == key
        else { return nil }
        let path = Run.modelPath(folder)
        let model = try Checkpoint.load(path, verify: .structure, trainingState: false)
        guard model.lineage.contentHash == record.output else {
            throw CheckpointError.changed(path: path, part: "the model that the step's record names")
        }
        return record
    }

    /// Marks the step done, after its model is written.
    func write(_ record: Record, to folder: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try TextFile.write(String(decoding: try encoder.encode(record), as: UTF8.self) + "\n", to: folder + "/step.json")
    }
}
