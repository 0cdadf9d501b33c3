import Files
import Foundation
import JSON
import Kernels
import Models
import Text

/// A Hugging Face model folder: `config.json`, `model.safetensors` or shards, `tokenizer.json`.
public enum HuggingFaceFolder {
    /// Reads the folder at `directory`; weights are mapped into memory from their files, in their own element types.
    ///
    /// A tied model's matrix may be stored as the embedding or as the head. Throws ``ImportError`` or
    /// `FileError`.
    ///
    /// - Parameter tokenizer: a tokenizer file in place of the folder's `tokenizer.json`.
    public static func load(_ directory: String, tokenizer tokenizerPath: String? = nil) throws -> Checkpoint {
        let file = try HuggingFaceConfig(path: directory + "/config.json")
        let config = try file.modelConfig()
        let tensors = try HuggingFaceTensors(directory: directory)
        let parameters = try parameters(config, tensors, file.family())
        let tokenizer = try (tokenizerPath ?? tokenizerFile(directory)).map { try TokenizerFile.serialized($0) }
        let name = URL(fileURLWithPath: directory).standardizedFileURL.lastPathComponent
        return Checkpoint(
            config: config, parameters: parameters, tokenizer: tokenizer,
            tokenIDs: try tokenIDs(file, directory: directory, vocabularySize: config.vocabularySize),
            lineage: Lineage(name: name, source: "Hugging Face folder '\(name)' (\(file.modelType))"))
    }

    private static func parameters(
        _ config: ModelConfig, _ tensors: HuggingFaceTensors, _ family: any ModelFamily
    ) throws -> Parameters {
        var parameters = Parameters()
        var known: Set<String> = []
        let prefix = family.optionalPrefix
        let isBare = !tensors.names.contains { $0.hasPrefix(prefix) }
        func place(_ name: WeightName, shape: [Int]) -> StoredWeight {
            var place = family.place(name, shape: shape, config)
            if isBare, place.name.hasPrefix(prefix) { place.name.removeFirst(prefix.count) }
            return place
        }
        let head = place(WeightName(.head), shape: [config.vocabularySize, config.hiddenSize]).name
        for (name, shape) in config.weights {
            var place = place(name, shape: shape)
            if config.tiedEmbeddings, name.module == .embedding, try tensors.weight(place.name) == nil { place.name = head }
            guard let weight = try tensors.weight(place.name) else {
                throw ImportError.tensor(path: tensors.path(of: place.name), name: place.name, reason: "is missing")
            }
            guard weight.shape == place.shape else {
                throw ImportError.tensor(
                    path: tensors.path(of: place.name), name: place.name,
                    reason: "is \(weight.shape), but the configuration wants \(place.shape)")
            }
            known.insert(place.name)
            parameters[name] = place.taken(from: weight)
        }
        if config.tiedEmbeddings, let embedding = parameters[WeightName(.embedding)], let stored = try tensors.weight(head) {
            let isSame = unsafe embedding.withUnsafeBytes { a in
                unsafe stored.withUnsafeBytes { b in unsafe a.elementsEqual(b) }
            }
            guard isSame, embedding.elementType == stored.elementType, embedding.shape == stored.shape else {
                throw ImportError.tensor(
                    path: tensors.path(of: head), name: head,
                    reason: "differs from the embedding, but 'tie_word_embeddings' says that they are one")
            }
            known.insert(head)
        }
        if let extra = tensors.names.filter({ !known.contains($0) && !family.isBuffer($0) }).min() {
            throw ImportError.tensor(
                path: tensors.path(of: extra), name: extra, reason: "belongs to no layer of this configuration")
        }
        return parameters
    }

    /// The folder's tokenizer file; nil without one.
    static func tokenizerFile(_ directory: String) -> String? {
        ["tokenizer.json", "tokenizer.model"].map { directory + "/" + $0 }.first { FileManager.default.fileExists(atPath: $0) }
    }

    /// The special tokens of `config.json`, else of `generation_config.json`; ids outside the vocabulary are dropped.
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
        try addTexts(&ids, directory: directory)
        return ids
    }

    /// The special tokens of `tokenizer_config.json`, given as texts or as objects with a `content`.
    private static func specialTokens(_ config: JSONValue?) -> [String: String]? {
        var tokens: [String: String] = [:]
        for name in TokenIDs.specialNames {
            guard let value = config?[name], let text = value.string ?? value["content"]?.string else { continue }
            if !text.isEmpty, text.utf8.count <= 256 { tokens[name] = text }
        }
        return tokens.isEmpty ? nil : tokens
    }

    /// Adds the folder's chat template, special tokens, generation settings and licence, of bounded length.
    private static func addTexts(_ ids: inout TokenIDs, directory: String) throws {
        func text(_ name: String, limit: Int = TokenIDs.longestText) throws -> String? {
            let path = directory + "/" + name
            guard FileManager.default.fileExists(atPath: path) else { return nil }
            let file = try MappedFile(path: path)
            return file.count > limit ? nil : String(validating: try file.bytes(in: 0..<file.count), as: UTF8.self)
        }
        func json(_ text: String?) -> JSONValue? { text.flatMap { try? JSONValue(parsing: Array($0.utf8), nodes: 200_000) } }
        let tokenizer = json(try text("tokenizer_config.json", limit: 1 << 22))
        ids.specialTokens = specialTokens(tokenizer)
        ids.chatTemplate = try text("chat_template.jinja")
        if ids.chatTemplate == nil, let value = tokenizer?["chat_template"] {
            // Either one text or several by name.
            let named = value.array?.first { $0["name"]?.string == "default" }?["template"]
            ids.chatTemplate = (named ?? value).string.flatMap { $0.utf8.count > TokenIDs.longestText ? nil : $0 }
        }
        // A file with nothing but the special tokens is written anew.
        let plain = ["_from_model_config", "bos_token_id", "eos_token_id", "pad_token_id", "transformers_version", "use_cache"]
        if let generation = try text("generation_config.json"), let members = json(generation)?.members,
            members.contains(where: { !plain.contains($0.name) })
        {
            ids.generationConfig = generation
        }
        // A model card begins with "---" and lines of YAML.
        let lines = (try text("README.md", limit: 1 << 20) ?? "").split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.first == "---" else { return }
        for line in lines.dropFirst().prefix(while: { $0 != "---" }) where line.hasPrefix("license:") {
            let name = line.dropFirst("license:".count).filter { $0 != " " && $0 != "\"" && $0 != "'" }
            if !name.isEmpty, name.utf8.count <= 100 { ids.license = String(name) }
        }
    }
}
