import Files
import Foundation
import Text

/// The import of models of all known formats, recognised by their content.
public enum ModelImport {
    /// The name of the model at `path`: the file's without its extension, or the folder's, which has none whatever its dots:
    /// Qwen2.5-0.5B.
    public static func name(of path: String) -> String {
        let url = URL(fileURLWithPath: path)
        return (FolderListing.isFolder(path) ? url : url.deletingPathExtension()).lastPathComponent
    }

    /// The same, or the name of the folder around a file that a run has named `model` or `checkpoint`.
    public static func distinctName(of path: String) -> String {
        let name = name(of: path)
        guard ["model", "checkpoint"].contains(name), !FolderListing.isFolder(path) else { return name }
        return URL(fileURLWithPath: path).deletingLastPathComponent().lastPathComponent
    }

    /// Reads a checkpoint file, a Hugging Face folder, a GGUF file or a llama2.c file.
    ///
    /// - Parameters:
    ///   - tokenizer: a tokenizer file in place of the model's own.
    ///   - copiesWeights: whether a checkpoint's weights are copied into memory; see
    ///     ``Checkpoint/load(_:verify:trainingState:copiesWeights:)``.
    public static func load(
        _ path: String, tokenizer: String? = nil, verify: Checkpoint.Verification = .full, trainingState: Bool = false,
        copiesWeights: Bool = false
    ) throws -> Checkpoint {
        if FolderListing.isFolder(path) {
            guard FileManager.default.fileExists(atPath: path + "/config.json") else {
                throw ImportError.invalid(path: path, reason: "a directory without config.json is no model folder")
            }
            return try HuggingFaceFolder.load(path, tokenizer: tokenizer)
        }
        let file = try MappedFile(path: path)
        if try GGUFFile.isOne(file) { return try GGUFModel.load(file, tokenizer: tokenizer) }
        if var model = try Llama2cFile.load(path) {
            if let tokenizer { model.tokenizer = try TokenizerFile.serialized(tokenizer) }
            return model
        }
        if let hint = try hint(file) { throw ImportError.invalid(path: path, reason: hint) }
        var checkpoint = try Checkpoint.load(path, verify: verify, trainingState: trainingState, copiesWeights: copiesWeights)
        if let tokenizer { checkpoint.tokenizer = try TokenizerFile.serialized(tokenizer) }
        return checkpoint
    }

    /// The tokenizer of a model, whose weights are not read, or of a tokenizer's own file.
    ///
    /// A folder needs a `tokenizer.json` or `tokenizer.model` and nothing else.
    public static func tokenizer(_ path: String) throws -> any Tokenizer {
        if FolderListing.isFolder(path) {
            guard let file = HuggingFaceFolder.tokenizerFile(path) else {
                throw ImportError.invalid(path: path, reason: "the folder has neither tokenizer.json nor tokenizer.model")
            }
            return try TokenizerFile.load(file)
        }
        let file = try MappedFile(path: path)
        let isCheckpoint = try file.bytes(in: 0..<min(CheckpointSeal.magic.count, file.count)) == CheckpointSeal.magic
        guard try isCheckpoint || GGUFFile.isOne(file) else { return try TokenizerFile.load(path) }
        guard let serialized = try load(path, verify: .structure).tokenizer else {
            throw ImportError.invalid(path: path, reason: "the model has no tokenizer")
        }
        return try TokenizerFile.load(serialized, name: path)
    }

    /// The advice for a file that is only part of a model or of an unsupported format; nil if it may be a checkpoint.
    private static func hint(_ file: MappedFile) throws -> String? {
        let head = try file.bytes(in: 0..<min(16, file.count))
        if (try? SafetensorsFile(path: file.path)) != nil {
            return "weights without their config.json; name the folder that holds both"
        }
        if head.first(where: { ![0x20, 0x0a, 0x0d, 0x09].contains($0) }) == UInt8(ascii: "{") {
            return "a JSON file is no model; name the folder that holds config.json and model.safetensors"
        }
        if head.starts(with: [0x50, 0x4b, 3, 4]) || head.first == 0x80 {
            return "a PyTorch pickle, which can run anything and is not opened; save the model with safetensors"
        }
        return nil
    }
}
