import Checkpoints
import Files
import Foundation
import Inference
import Models
import Text

/// A model file loaded for serving: the weights are packed in memory, and the file is not read again.
///
/// A checkpoint's weights are verified in the memory that they are packed from: only bytes with the right digest are served. Files
/// of other formats have no digests: one that was changed while it was packed is refused. Afterwards either may be overwritten, cut
/// or removed.
public struct ServableModel: Sendable, ModelText {
    /// The packed model.
    public let model: ServingModel
    /// The conversion between text and tokens.
    public let tokenizer: any Tokenizer
    /// The special tokens that the checkpoint names.
    public let tokenIDs: TokenIDs
    /// The model's shape.
    public var config: ModelConfig { model.config }

    /// Loads a model of any form; `tokenizerPath` replaces the tokenizer inside it, or stands in for a missing one.
    public init(path: String, tokenizerPath: String? = nil) throws {
        let files = try Self.identities(path)
        var checkpoint = try ModelImport.load(path, copiesWeights: true)
        tokenizer = try LoadedModel.fittingTokenizer(of: checkpoint, path: path, tokenizerPath: tokenizerPath)
        tokenIDs = checkpoint.tokenIDs
        // Given up, so that each weight goes when it is packed.
        var parameters = Parameters()
        swap(&parameters, &checkpoint.parameters)
        model = try ServingModel(config: checkpoint.config, parameters: consume parameters)
        guard try Self.identities(path) == files else { throw FileError.changed(path: path) }
    }

    /// The model's file, or all files of its folder.
    private static func identities(_ path: String) throws -> [String: FileIdentity] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path))?.map { path + "/" + $0 } ?? [path]
        return try Dictionary(uniqueKeysWithValues: names.map { ($0, try FileIdentity(path: $0)) })
    }
}
