import Files
import Foundation
import JSON
import Kernels
import Models
import Text

/// A model as Hugging Face lays it out: `config.json`, `model.safetensors` or shards, `tokenizer.json`.
public enum HuggingFaceFolder {
    private static let embedding = "model.embed_tokens.weight"
    private static let head = "lm_head.weight"

    /// Reads the folder at `directory`; weights stay in their files, mapped into memory, in their own element types.
    ///
    /// A tied model's matrix may be stored as the embedding or as the head. Throws ``ImportError``,
    /// ``SafetensorsError`` or `FileError`.
    ///
    /// - Parameter tokenizer: a tokenizer file to take in place of the folder's `tokenizer.json`.
    public static func load(_ directory: String, tokenizer tokenizerPath: String? = nil) throws -> Checkpoint {
        let file = try HuggingFaceConfig(path: directory + "/config.json")
        let config = try file.modelConfig()
        let tensors = try HuggingFaceTensors(directory: directory)
        let parameters = try parameters(config, tensors)
        let tokenizer = try tokenizerPath.map { try TokenizerFileKind.read($0) } ?? bundledTokenizer(directory)
        let name = URL(fileURLWithPath: directory).standardizedFileURL.lastPathComponent
        return Checkpoint(
            config: config, parameters: parameters, tokenizer: tokenizer,
            tokenIDs: try tokenIDs(file, directory: directory, vocabularySize: config.vocabularySize),
            lineage: Lineage(name: name, source: "Hugging Face folder '\(name)' (\(file.modelType))"))
    }

    private static func parameters(_ config: ModelConfig, _ tensors: HuggingFaceTensors) throws -> Parameters {
        var parameters = Parameters()
        for (name, shape) in config.weightShapes {
            var stored = name
            if config.tiedEmbeddings, name == embedding, try tensors.weight(embedding) == nil { stored = head }
            guard let weight = try tensors.weight(stored) else {
                throw ImportError.missingTensor(path: tensors.path(of: name), name: name)
            }
            guard weight.shape == shape else {
                throw ImportError.tensor(
                    path: tensors.path(of: stored), name: stored,
                    reason: "is \(weight.shape), but the configuration wants \(shape)")
            }
            parameters[name] = weight
        }
        if config.tiedEmbeddings, let embedding = parameters[embedding], let head = try tensors.weight(head) {
            let isSame = unsafe embedding.withUnsafeBytes { a in unsafe head.withUnsafeBytes { b in unsafe a.elementsEqual(b) } }
            guard isSame, embedding.elementType == head.elementType, embedding.shape == head.shape else {
                throw ImportError.tensor(
                    path: tensors.path(of: Self.head), name: Self.head,
                    reason: "differs from the embedding, but 'tie_word_embeddings' says that they are one")
            }
        }
        let known = Set(parameters.names + [head])
        // Older files keep RoPE's frequencies, which follow from the configuration.
        if let extra = tensors.names.filter({ !known.contains($0) && !$0.hasSuffix(".rotary_emb.inv_freq") }).min() {
            throw ImportError.tensor(
                path: tensors.path(of: extra), name: extra, reason: "belongs to no layer of this configuration")
        }
        return parameters
    }

    private static func bundledTokenizer(_ directory: String) throws -> SerializedTokenizer? {
        let paths = ["tokenizer.json", "tokenizer.model"].map { directory + "/" + $0 }
        return try paths.first { FileManager.default.fileExists(atPath: $0) }.map { try TokenizerFileKind.read($0) }
    }

    /// From `config.json`, else from `generation_config.json`; ids outside the vocabulary are dropped.
    private static func tokenIDs(
        _ config: HuggingFaceConfig, directory: String, vocabularySize: Int
    ) throws -> TokenIDs {
        var ids = config.tokenIDs
        let path = directory + "/generation_config.json"
        if ids.bos == nil || ids.eos.isEmpty, FileManager.default.fileExists(atPath: path) {
            let file = try MappedFile(path: path)
            let json: JSONValue
            do { json = try JSONValue(parsing: try file.bytes(in: 0..<min(file.count, 1 << 22))) } catch let error as JSONError {
                throw ImportError.json(path: path, error)
            }
            let others = HuggingFaceConfig.tokenIDs(json)
            ids.bos = ids.bos ?? others.bos
            if ids.eos.isEmpty { ids.eos = others.eos }
        }
        if let bos = ids.bos, bos >= vocabularySize { ids.bos = nil }
        ids.eos.removeAll { $0 >= vocabularySize }
        return ids
    }
}

/// Tells tokenizer files apart by their content.
enum TokenizerFileKind {
    /// Reads a `tokenizer.json`, a SentencePiece model or a llama2.c tokenizer.
    static func read(_ path: String) throws -> SerializedTokenizer {
        let file = try MappedFile(path: path)
        guard file.count > 0 else { throw FileError.empty(path: path) }
        guard file.count <= 1 << 28 else {
            throw ImportError.invalid(path: path, reason: "\(file.count) bytes are too many for a tokenizer")
        }
        let bytes = try file.bytes(in: 0..<file.count)
        return try TokenizerFile.serialized(bytes, file: path)
    }
}
