import JSON
import Kernels
import Models

/// A model family of Hugging Face: the mapping of its `config.json` and weight files to a decoder.
///
/// A family is one file and one line in ``ModelFamilies/all``.
protocol ModelFamily: Sendable {
    /// The `model_type` of the family's configurations.
    var modelType: String { get }
    /// The class that `architectures` names.
    var className: String { get }
    /// The family's keys that change the mathematics of a Llama, which are refused in other families.
    var ownKeys: Set<String> { get }
    /// The decoder of a configuration; throws the first key that asks for mathematics that kvlab does not support.
    func modelConfig(_ file: HuggingFaceConfig) throws(ImportError) -> ModelConfig

    /// Whether `config` has the part that distinguishes the family from the earlier ones in the table.
    func claims(_ config: ModelConfig) -> Bool
    /// Throws the first part of a claimed configuration that the family cannot express.
    func check(_ config: ModelConfig) throws(ImportError)
    /// The checkpoint in the family's form, to be written in `elementType`; nil for each weight's own.
    func prepared(_ checkpoint: Checkpoint, elementType: ElementType?) throws(ImportError) -> Checkpoint
    /// The family's own members of a model's `config.json`, values as JSON; the exporter adds the members common to all families.
    func members(_ config: ModelConfig, padID: Int?) throws(ImportError) -> [(String, String)]

    /// The prefix of tensor names that older files leave out; empty for none.
    var optionalPrefix: String { get }
    /// The place of a weight of `shape` in the family's files.
    func place(_ name: WeightName, shape: [Int], _ config: ModelConfig) -> StoredWeight
    /// Whether a tensor of older files is a buffer that follows from the configuration: a mask, RoPE's frequencies.
    func isBuffer(_ name: String) -> Bool
}

/// The table of families.
enum ModelFamilies {
    /// Every family, each after the families that it extends.
    static let all: [any ModelFamily] = [
        LlamaFamily(), MistralFamily(), Qwen2Family(), Qwen3Family(), GPT2Family(), GPTNeoXFamily(), DeepSeekFamily(),
    ]

    /// The family of a `model_type`; nil if the table has none.
    static func named(_ modelType: String) -> (any ModelFamily)? { all.first { $0.modelType == modelType } }

    /// The family with all parts of `config`; throws ``ImportError/notExpressible(in:reason:)`` if none has them.
    static func family(of config: ModelConfig) throws(ImportError) -> any ModelFamily {
        if (0..<config.layers).contains(where: { config.keyValueSource($0) != nil }) {
            throw .notExpressible(reason: "no family's configuration says which layers share keys and values")
        }
        if (config.attentionSinks ?? 0) > 0 {
            throw .notExpressible(reason: "no family has windows with the first tokens beside them (attention sinks)")
        }
        // Llama claims every configuration.
        let family = all.last { $0.claims(config) } ?? LlamaFamily()
        try family.check(config)
        return family
    }
}

extension ModelFamily {
    var ownKeys: Set<String> { [] }
    var optionalPrefix: String { "" }

    func prepared(_ checkpoint: Checkpoint, elementType: ElementType?) throws(ImportError) -> Checkpoint { checkpoint }
    func place(_ name: WeightName, shape: [Int], _ config: ModelConfig) -> StoredWeight {
        StoredWeight(name: "\(name)", shape: shape)
    }
    func isBuffer(_ name: String) -> Bool { name.hasSuffix(".rotary_emb.inv_freq") }

    /// The tensors of a file of `parameters`, in order.
    func tensors(_ config: ModelConfig, _ parameters: Parameters) -> [(String, Weight)] {
        var order: [String] = []
        var parts: [String: [(StoredWeight, Weight)]] = [:]
        for (name, shape) in config.weights {
            guard let weight = parameters[name] else { continue }
            let place = place(name, shape: shape, config)
            if parts[place.name] == nil { order.append(place.name) }
            parts[place.name, default: []].append((place, weight))
        }
        return order.compactMap { name in parts[name].map { (name, StoredWeight.joined($0)) } }
    }
}
