import Files
import Models

/// The digests of a run's inputs: texts, tokenizer and models, each under its key in the recipe.
///
/// The same recipe over another text is another run: a resumed run compares its inputs by ``changes(since:)``.
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

        /// The digest of the file at `path`, which is read once.
        public init(key: String, file path: String) throws {
            let file = try MappedFile(path: path)
            guard file.count > 0 else { throw FileError.empty(path: path) }
            self.init(key: key, path: path, sha256: SHA256Digest(of: file), bytes: file.count)
        }
    }

    /// A changed input.
    public struct Change: Codable, Sendable, Hashable {
        /// The recipe's key of the input.
        public var key: String
        /// The path of the new content; nil for a model in a lineage.
        public var path: String?
        /// The digest that the run began with.
        public var recorded: String
        /// The present digest.
        public var found: String
        /// The run's steps when it resumed with the new content; nil if it has not.
        public var step: Int?

        /// The change in the words of a lineage.
        public var text: String {
            "input \(key) changed\(step.map { " after \($0) steps" } ?? "")\(path.map { ", \($0)" } ?? ""): "
                + "SHA-256 \(recorded) before, \(found) since"
        }
    }

    /// The version of the format that is written.
    public static let currentVersion = 1

    /// The version of the record's format.
    public var version = Self.currentVersion
    /// The inputs, in the order in which they are read.
    public var inputs: [Input]

    /// A record of `inputs`.
    public init(_ inputs: [Input]) { self.inputs = inputs }

    /// The inputs whose content differs from `recorded`.
    ///
    /// Keys that only one of the two has are left out: the recipes differ then, which is the caller's concern.
    public func changes(since recorded: InputDigests) -> [Change] {
        inputs.compactMap { input in
            guard let before = recorded.inputs.first(where: { $0.key == input.key }), before.sha256 != input.sha256 else {
                return nil
            }
            return Change(key: input.key, path: input.path, recorded: before.sha256, found: input.sha256)
        }
    }

    /// The record without the paths of models, as stored in a lineage: the content hash of a run's model must not depend on its
    /// parent's path.
    public var withoutModelPaths: InputDigests {
        var copy = self
        for index in inputs.indices where inputs[index].bytes == nil { copy.inputs[index].path = nil }
        return copy
    }
}
