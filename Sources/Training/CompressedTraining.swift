import Inference
import Kernels
import Models

/// Training through a compressed cache: attention reads the decoded keys and values of the retained slots; gradients pass the
/// codecs straight through.
///
/// The policy chooses the retained sets anew in each step, from the step's sequences and the weights before its update, without
/// dropout.
public struct CompressedTraining: Sendable {
    /// The encoding of keys and values.
    public var encoding: CacheEncoding
    /// The retention of layers without a window.
    public var retention: any Retention
    /// Tokens of a document's prompt, behind which policies decide.
    public var prompt: Int

    /// Training through a cache in `encoding` with `retention`.
    public init(_ encoding: CacheEncoding, _ retention: any Retention = FullRetention(), prompt: Int = 0) {
        (self.encoding, self.retention, self.prompt) = (encoding, retention, prompt)
    }

    /// Throws ``InferenceError`` where a model of `config` cannot have the cache.
    public func check(_ config: ModelConfig) throws(InferenceError) {
        do { try config.kvGeometry(encoding).check(encoding) } catch { throw .encoding(error) }
        try retention.check(config, encoding)
        try retention.check(config, prompt: prompt)
        if let merge = retention.merge { throw .trainedMerge(merge.name) }
    }

    /// Whether a slot is ever evicted from a sequence of `tokens` tokens before its end.
    public func evicts(_ config: ModelConfig, tokens: Int) -> Bool {
        let streams = config.kvGeometry(encoding).count { $0.source == nil && $0.window == nil }
        return (0..<streams).contains { stream in
            let kept = retention.stream(stream, of: streams)
            return kept.nextDecision(after: 0, prompt: prompt).map {
                $0 < tokens && kept.mostRetained(at: $0, prompt: prompt) < $0
            }
                ?? false
        }
    }

    /// `inputs` through the cache of a model with these weights.
    func through(_ inputs: [ModelInput], _ config: ModelConfig, _ parameters: Parameters) throws -> [ModelInput] {
        let reader = retention is FullRetention ? nil : try ServingModel(config: config, parameters: parameters)
        return try inputs.map { input in
            var input = input
            input.cache =
                try reader.map { try CacheView(of: input, $0, encoding, retention, prompt: prompt) }
                ?? CacheView(config.kvGeometry(encoding), input)
            return input
        }
    }
}
