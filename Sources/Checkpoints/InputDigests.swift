import Files
import Models

/// A run's inputs by their content: texts, tokenizer and models, each under the key of the recipe that names it.
///
/// The same recipe over another text is another run: whatever goes on with a run compares its inputs with ``changes(since:)``.
public struct InputDigests: Codable, Sendable, Hashable {
    /// One input.
    public struct Input: Codable, Sendable, Hashable {
        /// The recipe's key: `data.files[0]`, `init.checkpoint`.
        public var key: String
        /// The file's path as the recipe has it; nil for a model in a lineage, where its content alone counts.
        public var path: String?
        /// SHA-256 of the file's bytes, or a model's content hash; 64 hexadecimal digits.
        public var sha256: String
        /// Bytes of the file; nil for a model.
        public var bytes: Int?

        /// A file with this digest.
        public init(key: String, path: String, sha256: SHA256Digest, bytes: Int) {
            (self.key, self.path, self.sha256, self.bytes) = (key, path, sha256.hex, bytes)
        }

        /// A model with this content hash.
        public init(key: String, model path: String?, contentHash: String) {
            (self.key, self.path, sha256) = (key, path, contentHash)
        }

        /// The file at `path`, which is read once.
        public init(key: String, file path: String) throws {
            let file = try MappedFile(path: path)
            guard file.count > 0 else { throw FileError.empty(path: path) }
            self.init(key: key, path: path, sha256: SHA256Digest(of: file), bytes: file.count)
        }
    }

    /// An input whose content is another than before.
    public struct Change: Codable, Sendable, Hashable {
        /// The recipe's key of the input.
        public var key: String
        /// The path that holds the new content; nil for a model in a lineage.
        public var path: String?
        /// The digest that the run began with.
        public var recorded: String
        /// The digest now.
        public var found: String
        /// Steps that the run had done when it went on with the new content; nil where it has not.
        public var step: Int?

        /// The change as a lineage tells it.
        public var text: String {
            "input \(key) changed\(step.map { " after \($0) steps" } ?? "")\(path.map { ", \($0)" } ?? ""): "
                + "SHA-256 \(recorded) before, \(found) since"
        }
    }

    /// The format that this tool writes.
    public static let currentVersion = 1

    /// The record's format.
    public var version = Self.currentVersion
    /// The inputs, in the order in which they are read.
    public var inputs: [Input]

    /// A record of `inputs`.
    public init(_ inputs: [Input]) { self.inputs = inputs }

    /// Inputs whose content is another than in `recorded`.
    ///
    /// A key that only one of the two has is left out: then the recipes differ, which is for the caller to judge.
    public func changes(since recorded: InputDigests) -> [Change] {
        inputs.compactMap { input in
            guard let before = recorded.inputs.first(where: { $0.key == input.key }), before.sha256 != input.sha256 else {
                return nil
            }
            return Change(key: input.key, path: input.path, recorded: before.sha256, found: input.sha256)
        }
    }

    /// The record without the places of models, as a lineage keeps it: the content hash of a run's model must not depend on where its
    /// parent lies.
    public var withoutModelPaths: InputDigests {
        var copy = self
        for index in inputs.indices where inputs[index].bytes == nil { copy.inputs[index].path = nil }
        return copy
    }
}
