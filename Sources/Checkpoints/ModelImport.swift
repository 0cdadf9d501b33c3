import Files
import Foundation

/// Opens a model of any known form, told apart by its content.
public enum ModelImport {
    /// Reads a checkpoint file, a Hugging Face folder, a GGUF file or a llama2.c file.
    ///
    /// - Parameter tokenizer: a tokenizer file to take in place of the model's own.
    public static func load(
        _ path: String, tokenizer: String? = nil, verify: Checkpoint.Verification = .full, trainingState: Bool = false
    ) throws -> Checkpoint {
        var isDirectory: ObjCBool = false
        if unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), isDirectory.boolValue {
            guard FileManager.default.fileExists(atPath: path + "/config.json") else {
                throw ImportError.unknownFormat(path: path, reason: "a directory without config.json is no model folder")
            }
            return try HuggingFaceFolder.load(path, tokenizer: tokenizer)
        }
        let file = try MappedFile(path: path)
        if try GGUFFile.isOne(file) { return try GGUFModel.load(file, tokenizer: tokenizer) }
        if var model = try Llama2cFile.load(path) {
            if let tokenizer { model.tokenizer = try TokenizerFileKind.read(tokenizer) }
            return model
        }
        var checkpoint = try Checkpoint.load(path, verify: verify, trainingState: trainingState, isForeign: true)
        if let tokenizer { checkpoint.tokenizer = try TokenizerFileKind.read(tokenizer) }
        return checkpoint
    }
}
