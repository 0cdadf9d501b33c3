import Files
import Foundation
import Kernels
import Models
import Text

/// A model of the Llama architecture in a GGUF file.
enum GGUFModel {
    /// Reads the file; weights are mapped into memory, quantised ones dequantised to Float32 whenever they are read.
    ///
    /// - Parameter tokenizer: a tokenizer file in place of the file's own.
    static func load(_ mapped: MappedFile, tokenizer tokenizerPath: String? = nil) throws -> Checkpoint {
        let file = try GGUFFile(mapped)
        let metadata = GGUFMetadata(path: file.path, values: file.metadata)
        let architecture = try metadata.string("general.architecture")
        let architectures = [GGUFLayout.architecture, GGUFLayout.perLayerArchitecture]
        guard architectures.contains(architecture) else {
            throw ImportError.unsupported(
                path: file.path, key: "general.architecture", found: "'\(architecture)'",
                supported: architectures.joined(separator: ", "))
        }
        let config = try config(file, metadata, architecture: architecture)
        let parameters = try parameters(file, config)
        let vocabulary = try tokenizerPath == nil ? GGUFTokenizer.read(metadata) : nil
        let tokenizer = try tokenizerPath.map { try TokenizerFile.serialized($0) } ?? vocabulary?.serialized(file: file.path)
        let name = URL(fileURLWithPath: file.path).deletingPathExtension().lastPathComponent
        let size = config.vocabularySize
        let eos = try metadata.tokenID("tokenizer.ggml.eos_token_id", limit: size)
        var ids = TokenIDs(bos: try metadata.tokenID("tokenizer.ggml.bos_token_id", limit: size), eos: eos.map { [$0] } ?? [])
        func text(_ key: String) -> String? {
            guard metadata.values[key] != nil, let text = try? metadata.string(key) else { return nil }
            return text.utf8.count > TokenIDs.longestText ? nil : text
        }
        ids.chatTemplate = text("tokenizer.chat_template")
        ids.license = text("general.license")
        if let vocabulary, let padding = vocabulary.padding {
            ids.specialTokens = [TokenIDs.padding: String(decoding: vocabulary.tokens[Int(padding)], as: UTF8.self)]
        }
        return Checkpoint(
            config: config, parameters: parameters, tokenizer: tokenizer, tokenIDs: ids,
            lineage: Lineage(name: name, source: "GGUF file '\(name)' (\(architecture))"))
    }

    private static func config(_ file: GGUFFile, _ metadata: GGUFMetadata, architecture: String) throws -> ModelConfig {
        let path = file.path
        func key(_ name: String) -> String { architecture + "." + name }
        func refuse(_ name: String, unless isFine: (GGUFValue) -> Bool, _ supported: String) throws(ImportError) {
            guard let value = file.metadata[key(name)], !isFine(value) else { return }
            throw .unsupported(path: path, key: key(name), found: value.text, supported: supported)
        }
        try refuse("expert_count", unless: { $0.int == 0 }, "0")
        try refuse("rope.scale_linear", unless: { $0.double == 1 || $0.double == 0 }, "1")
        try refuse("attention.causal", unless: { $0.bool == true }, "true")
        for name in [
            "attention.sliding_window", "attention.clamp_kqv", "logit_scale", "residual_scale", "embedding_scale",
            "attention.scale",
        ] {
            try refuse(name, unless: { $0.double == 0 }, "0 or absent")
        }
        guard let embedding = file.tensor("token_embd.weight"), embedding.shape.count == 2 else {
            throw ImportError.tensor(path: path, name: "token_embd.weight", reason: "is missing or no matrix")
        }
        let layers = try metadata.positive(key("block_count"))
        guard layers <= 4096 else {
            throw ImportError.wrongValue(path: path, key: key("block_count"), found: "\(layers)", expected: "at most 4096")
        }
        let hidden = try metadata.positive(key("embedding_length"))
        let heads = try metadata.perLayer(key("attention.head_count"), layers: layers)
        let kvHeads = try metadata.perLayer(key("attention.head_count_kv"), layers: layers, default: heads)
        let headDim = try metadata.positive(key("attention.key_length"), default: max(hidden / heads[0], 1))
        for name in ["attention.value_length", "rope.dimension_count"] {
            try refuse(name, unless: { $0.int == headDim }, "the head dim, \(headDim)")
        }
        let feedForward = Set(try metadata.perLayer(key("feed_forward_length"), layers: layers))
        guard feedForward.count == 1, let width = feedForward.first else {
            throw ImportError.unsupported(
                path: path, key: key("feed_forward_length"), found: "\(feedForward.sorted())", supported: "one for all layers")
        }
        var config = ModelConfig(
            vocabularySize: embedding.shape[0], hiddenSize: hidden, feedForwardSize: width, layers: layers,
            heads: PerLayer(heads),
            kvHeads: PerLayer(kvHeads), headDim: .all(headDim), maxSequence: try metadata.positive(key("context_length")),
            normEpsilon: try metadata.number(key("attention.layer_norm_rms_epsilon")),
            ropeTheta: try metadata.number(key("rope.freq_base"), default: 10_000),
            tiedEmbeddings: file.tensor("output.weight") == nil)
        if file.tensor("blk.0.attn_q.bias") != nil { config.hasQueryKeyValueBias = true }
        if file.tensor("blk.0.attn_output.bias") != nil { config.hasOutputBias = true }
        if file.tensor("blk.0.ffn_down.bias") != nil { config.hasFeedForwardBias = true }
        let divisors = try file.weight(GGUFRotary.divisorsName).map { weight in
            guard weight.shape == [headDim / 2] else {
                throw ImportError.tensor(
                    path: path, name: GGUFRotary.divisorsName, reason: "is \(weight.shape), expected [\(headDim / 2)]")
            }
            return weight.float32().array()
        }
        config.ropeScaling = try GGUFRotary.scaling(
            metadata, architecture: architecture, divisors: divisors, theta: config.ropeTheta, headDim: headDim,
            maxSequence: config.maxSequence)
        do throws(ModelConfigError) { try config.validate() } catch {
            throw ImportError.malformed(path: path, format: "GGUF", reason: error.description)
        }
        return config
    }

    private static func parameters(_ file: GGUFFile, _ config: ModelConfig) throws(ImportError) -> Parameters {
        var parameters = Parameters()
        var known: Set<String> = [GGUFRotary.divisorsName]
        for (name, shape) in config.weights {
            guard let stored = GGUFLayout.name(of: name) else { continue }
            func wrong(_ reason: String) -> ImportError { .tensor(path: file.path, name: stored, reason: reason) }
            guard let weight = file.weight(stored) else { throw wrong("is missing") }
            guard weight.shape == shape else { throw wrong("is \(weight.shape), but the metadata wants \(shape)") }
            known.insert(stored)
            parameters[name] = RotaryOrder.halfSplit(weight, name, config)
        }
        if let extra = file.tensors.map(\.name).filter({ !known.contains($0) }).min() {
            throw .tensor(path: file.path, name: extra, reason: "belongs to no layer of a Llama")
        }
        return parameters
    }
}
