import Checkpoints
import Recipes
import Text
import Training

/// The token streams of a run: one of all texts or, where texts have weights, one of each.
struct RunTexts {
    private struct Part {
        var training: TokenStream
        var validation: TokenStream
        /// Tokens of the held-out text that are scored.
        var validationTokens: Int
        /// Bytes of the held-out text that are scored.
        var validationBytes: Int
        /// Its weight relative to the others'.
        var weight: Double
    }

    private let parts: [Part]
    private var weights: [Double] { parts.map(\.weight) }
    private func share(_ part: Part) -> Double { part.weight / weights.reduce(0, +) }

    /// Encodes the texts, or finds them encoded in the recipe's cache.
    init(
        _ recipe: Recipe, training: Corpus, validation: Corpus, tokenizer: some Tokenizer, reporter: ProgressReporter
    ) throws {
        let cache = TokenCache(directory: recipe.data.cache)
        func stream(_ corpus: Corpus) throws -> TokenStream {
            try cache.stream(corpus, tokenizer: tokenizer) { done, total in
                reporter.progress("encoding text  \(100 * done / max(total, 1)) %")
            }
        }
        func part(_ training: Corpus, _ validation: Corpus, weight: Double) throws -> Part {
            let heldOut = try stream(validation)
            return Part(
                training: try stream(training), validation: heldOut,
                validationTokens: validation.hasChats ? heldOut.targetCount : heldOut.count,
                validationBytes: validation.learntBytes, weight: weight)
        }
        if recipe.data.isWeighted {
            parts = try recipe.data.files.enumerated().map { index, file in
                try part(training.only(index), validation.only(index), weight: file.weight ?? 1)
            }
        } else {
            parts = [try part(training, validation, weight: 1)]
        }
        reporter.clear()
    }

    /// Tokens a byte of held-out text, in the texts' shares.
    var validationTokensPerByte: Double {
        guard parts.count > 1 else { return Double(parts[0].validationTokens) / Double(max(parts[0].validationBytes, 1)) }
        return 1 / parts.reduce(0) { $0 + share($1) * Double($1.validationBytes) / Double(max($1.validationTokens, 1)) }
    }

    /// The samples to train on and the sequences to validate on.
    ///
    /// Throws ``ExperimentError`` for texts too short for a batch or, with its number, for one too short for a sequence.
    ///
    /// - Parameter batchKey: the recipe's key of the batch; nil: that of its training or uptraining.
    func data(_ recipe: Recipe, _ basis: TrainingBasis, batchKey: String? = nil) throws -> TrainingData {
        let packing = recipe.data.packing
        let seed = UInt64(recipe.uptrain?.seed ?? recipe.seed)
        let validation = validation(recipe, basis, packing)
        let samples: @Sendable (_ first: Int, _ count: Int) -> TokenBatch
        let windows: Int
        if recipe.data.isWeighted {
            let batches = try parts.enumerated().map { index, part in
                do throws(TextError) {
                    return try TokenBatches(
                        part.training, seq: basis.seq, seed: MixedBatches.seed(seed, stream: index), packing: packing)
                } catch {
                    throw ExperimentError.recipe(key: "data.files[\(index)]", reason: "\(error)")
                }
            }
            let mixed = MixedBatches(batches, weights: weights, seed: seed)
            (samples, windows) = ({ mixed.batch(samples: $0..<$0 + $1) }, mixed.windowsPerEpoch)
        } else {
            let batches = try TokenBatches(
                parts[0].training, seq: basis.seq, seed: seed, packing: packing, order: recipe.data.order ?? .shuffled)
            (samples, windows) = ({ batches.batch(samples: $0..<$0 + $1) }, batches.windowsPerEpoch)
        }
        guard basis.batch <= windows else {
            throw ExperimentError.recipe(
                key: batchKey ?? (recipe.uptrain == nil ? "train.batch" : "uptrain.batch"),
                reason: "a batch of \(basis.batch) sequences of \(basis.seq) tokens is beyond the data: the training part has "
                    + "\(windows) such sequences")
        }
        return TrainingData(samples: samples, validation: validation)
    }

    /// Held-out sequences, of each text as many as its share of the recipe's number.
    private func validation(_ recipe: Recipe, _ basis: TrainingBasis, _ packing: TokenBatches.Packing) -> [TokenBatch] {
        parts.flatMap { part in
            let sequences = max(1, Int((share(part) * Double(recipe.train.validationSequences)).rounded()))
            let size = max(1, min(basis.batch, 4096 / max(basis.seq, 1)))
            let limit = (sequences + size - 1) / size
            return Array(
                ValidationBatches(part.validation, seq: basis.seq, batch: size, packing: packing, limit: limit))
        }
    }
}
