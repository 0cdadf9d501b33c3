import Checkpoints
import Files
import Foundation

/// Folders of steps, addressed by content: by the step's name and a hash of all that decides its outcome.
///
/// A step is done where its folder holds a record with its key and the model whose content hash the record names. A done step is never
/// repeated, a changed or interrupted one is. The steps of listed children are addressed by name alone, for paths that people and
/// recipes can write down: such a folder may hold a step of another key, which ``Sweep`` refuses or makes again.
struct StepStore: Sendable {
    /// Raised when a step of the same recipe and inputs would come out otherwise than before.
    static let format = 1

    /// The record of a finished step beside its model, step.json.
    struct Record: Codable, Sendable, Equatable {
        /// ``StepStore/format``.
        var format: Int
        /// The kind of the step's model.
        var kind: SweepStep.Kind
        /// Hash of the step's recipe, its inputs' content and the format.
        var key: String
        /// Content hashes of its inputs: texts by path, models by their part in the step.
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
    /// Whether a folder's name ends with the step's key.
    let isAddressedByContent: Bool

    /// The key of a step: `recipe` names inputs by their hashes, so that it doesn't matter where they lie.
    static func key(_ kind: SweepStep.Kind, recipe: String, inputs: [String: String]) -> String {
        let names = inputs.keys.sorted().map { "\($0) \(inputs[$0] ?? "")\n" }.joined()
        return SHA256Digest(of: "kvlab step \(format)\n\(kind.rawValue)\n\(names)\(recipe)\n").hex
    }

    /// The folder of the step with this key.
    func folder(_ step: SweepStep, key: String) -> String {
        "\(directory)/\(step.folder)" + (isAddressedByContent ? "-\(key.prefix(12))" : "")
    }

    /// The record of the step that the folder holds, whatever its key; nil for none.
    func record(in folder: String) -> Record? {
        TextFile.value(Record.self, at: folder + "/step.json")
    }

    /// Throws the difference where the folder doesn't hold the model that `record` names.
    func checkModel(of record: Record, in folder: String) throws {
        let path = Run.modelPath(folder)
        let model = try Checkpoint.load(path, verify: .structure, trainingState: false)
        guard model.lineage.contentHash == record.output else {
            throw CheckpointError.changed(path: path, part: "the model that the step's record names")
        }
    }

    /// Removes a step from its folder, so that it can be made again.
    func discard(_ folder: String) throws {
        let lock = try FileLock(path: folder + "/lock", purpose: "kvlab lab")
        defer { withExtendedLifetime(lock) {} }
        for name in ["step.json", "model.h5", "checkpoint.h5"] where FileManager.default.fileExists(atPath: "\(folder)/\(name)") {
            try FileManager.default.removeItem(atPath: "\(folder)/\(name)")
        }
    }

    /// Marks the step done, after its model is written.
    func write(_ record: Record, to folder: String) throws {
        try TextFile.write(CanonicalJSON.text(of: record, pretty: true) + "\n", to: folder + "/step.json")
    }
}
