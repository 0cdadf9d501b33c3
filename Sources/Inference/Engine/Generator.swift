import Models
import Random

/// Continues one sequence token by token: the serving model over a contiguous KV cache.
public struct Generator: Sendable {
    /// The model.
    public let model: ServingModel
    /// How tokens are sampled.
    public let sampler: Sampler
    /// Tokens that end the continuation; they are not part of it.
    public let stops: Set<Int32>

    /// A generator over `model`; by default greedy and without stop tokens.
    public init(model: ServingModel, sampler: Sampler = Sampler(), stops: Set<Int32> = []) {
        self.model = model
        self.sampler = sampler
        self.stops = stops
    }

    /// At most `count` ids that follow `prompt` (not empty); fewer at a stop token or where the model's positions end.
    ///
    /// `onToken` gets each token as it is sampled and ends the continuation by returning false.
    public func continuation(
        of prompt: [Int32], count: Int, generator: inout SeededGenerator, onToken: (Int32) -> Bool = { _ in true }
    ) -> [Int32] {
        precondition(!prompt.isEmpty, "Generator: the prompt has no tokens")
        let room = model.config.maxSequence - prompt.count
        guard count > 0, room >= 0 else { return [] }
        var cache = ContiguousKVCache(config: model.config, capacity: min(prompt.count + count, model.config.maxSequence))
        var logits = model.logits(RaggedBatch(sequences: [0], counts: [prompt.count], tokens: prompt), cache: &cache)
        var ids: [Int32] = []
        while true {
            let next = sampler.sample(logits.array(), using: &generator)
            guard !stops.contains(next) else { return ids }
            ids.append(next)
            guard onToken(next), ids.count < count, ids.count <= room else { return ids }
            logits = model.logits(RaggedBatch(sequences: [0], counts: [1], tokens: [next]), cache: &cache)
        }
    }
}
