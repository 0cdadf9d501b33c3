import Inference
import Kernels
import Models
import Recipes
import Text
import Training

extension CompressedTraining {
    /// Training through the cache that `through` describes, of a model of `config` on sequences of `seq` tokens.
    ///
    /// Throws ``ExperimentError/recipe(key:reason:)`` where the model cannot have the cache, a sequence has no token behind the prompt,
    /// or none of its slots would be evicted.
    ///
    /// - Parameters:
    ///   - tokenizer: the tokenizer of the sequences; nil where no training follows.
    ///   - section: the recipe's section that describes it.
    init(
        _ through: UptrainRecipe.Through, _ config: ModelConfig, seq: Int, packing: TokenBatches.Packing,
        tokenizer: (any Tokenizer)? = nil, section: String = "uptrain.through"
    ) throws(ExperimentError) {
        let prompt = through.prefill ?? seq / 2
        if let policy = through.cache.unmeasuredPolicy {
            throw .recipe(
                key: section + ".evict",
                reason:
                    "'\(policy)' goes by a measurement of a model's heads, which training changes; train through another policy")
        }
        let training: CompressedTraining
        do {
            let retention = try through.cache.retention()
            training = CompressedTraining(
                through.cache.encoding, tokenizer.map { retention.instructed(by: $0) } ?? retention,
                prompt: through.cache.evicts ? prompt : 0)
            try training.check(config)
        } catch {
            throw .recipe(key: section, reason: "\(error)")
        }
        guard !(config.hasLearnedPositions == true && packing != .packed) else {
            throw .recipe(
                key: section,
                reason: "a cache has each document at the first positions, whose embeddings the model learns apart; set "
                    + "'data.packing' to \"packed\"")
        }
        let encodings = config.kvGeometry(through.cache.encoding).map(\.encoding)
        if let encoding = encodings.first(where: { $0.sealedTokens(of: seq - 1) == 0 }) {
            throw .recipe(
                key: section,
                reason:
                    "\(encoding.name) encodes \(encoding.blockTokens) tokens together behind a residual of \(encoding.residual), and "
                    + "no token of a sequence of \(seq) sees codes; use longer sequences")
        }
        self = training
        guard through.cache.evicts else { return }
        guard (1..<seq).contains(prompt) else {
            throw .recipe(
                key: section + ".prefill",
                reason: "\(prompt) tokens, expected 1 to \(seq - 1), less than the \(seq) of a sequence")
        }
        guard evicts(config, tokens: seq) else {
            throw .recipe(
                key: section,
                reason:
                    "\(through.cache.evictionText) evicts nothing of sequences of \(seq) tokens, \(prompt) of them the prompt; use a "
                    + "smaller budget or longer sequences")
        }
    }
}
