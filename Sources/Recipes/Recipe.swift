import Checkpoints
import Kernels
import Models
import Text

/// One experiment, as its file and overrides say, every default filled in.
public struct Recipe: Sendable, Hashable, Encodable {
    /// Names the run's directory.
    public var name: String
    /// Seed of initialisation, data order, dropout and samples.
    public var seed: Int
    /// Texts and how they are cut.
    public var data: DataRecipe
    /// The tokenizer; nil for the starting checkpoint's.
    public var tokenizer: TokenizerRecipe?
    /// The model to make; nil for the starting checkpoint's.
    public var model: ModelRecipe?
    /// The optimizer's work.
    public var train: TrainRecipe
    /// The checkpoint to start from.
    public var `init`: InitRecipe?
    /// Makes the run an uptraining of `init`'s checkpoint.
    public var uptrain: UptrainRecipe?
    /// A whole experiment around the trained model, or around those that `init` or a sweep's `parents` name.
    public var lab: LabRecipe?
}

/// Texts and how they are cut into tokens to train and validate on.
public struct DataRecipe: Sendable, Hashable, Encodable {
    /// The validation part.
    public struct Validation: Sendable, Hashable, Encodable {
        /// Its share of the text.
        public var fraction: Double
        /// The unit of the split.
        public var by: Corpus.SplitBy
    }

    /// The texts, relative to the working directory.
    public var files: [TextSource]
    /// Whether each file has a weight, the share of training sequences that are drawn from it; else none has.
    public var isWeighted: Bool { files.contains { $0.weight != nil } }
    /// The separator of documents of plain text; nil: a file is a document.
    public var documentSeparator: String?
    /// A file with the Jinja template of chats; nil: the template of the model that is started from.
    public var chatTemplate: String?
    /// The validation part.
    public var validation: Validation
    /// Whether attention crosses documents, and where windows begin.
    public var packing: TokenBatches.Packing
    /// The order of the windows; nil: shuffled, as in the recipes of checkpoints from before there was a choice.
    public var order: TokenBatches.Order?
    /// Directory for token ids kept between runs.
    public var cache: String
}

/// The tokenizer of a run.
public struct TokenizerRecipe: Sendable, Hashable, Encodable {
    /// The origin of a tokenizer.
    public enum Kind: String, Sendable, Encodable, CaseIterable {
        /// Byte-level BPE trained on the training part.
        case bpe
        /// One token a byte.
        case byte
        /// A tokenizer.json or tokenizer.bin.
        case file
    }

    /// The tokenizer's origin.
    public var kind: Kind
    /// Tokens of a trained BPE.
    public var vocabSize: Int?
    /// The file, for `file`.
    public var path: String?
}

/// A model's shape; the vocabulary is the tokenizer's.
public struct ModelRecipe: Sendable, Hashable, Encodable {
    /// Hidden size.
    public var dim: Int
    /// Blocks.
    public var layers: Int
    /// Query heads, one value or one a layer.
    public var heads: [Int]
    /// KV heads, one value or one a layer.
    public var kvHeads: [Int]
    /// Head width, one value or one a layer.
    public var headDim: [Int]
    /// An attention other than plain layers.
    public var attention: AttentionRecipe?
    /// SwiGLU's hidden width.
    public var ffn: Int
    /// RoPE's base.
    public var ropeTheta: Double
    /// RMSNorm's epsilon.
    public var normEps: Double
    /// Whether the output projection is the embedding.
    public var tied: Bool
    /// The longest sequence.
    public var maxSeq: Int
    /// The distribution of fresh weights.
    public var initialization: Initialization
}

/// The optimizer's work.
public struct TrainRecipe: Sendable, Hashable, Encodable {
    /// Steps; nil in an uptraining, which has a length, and in a lab of uptrainings alone.
    public var steps: Int?
    /// Sequences in a step; nil in an uptraining: its own or the parent's.
    public var batch: Int?
    /// Tokens in a sequence; nil in an uptraining: its own or the parent's.
    public var seq: Int?
    /// Micro-batches of a batch (gradient accumulation).
    public var accumulation: Int
    /// Peak learning rate; nil in an uptraining: its own or the parent's.
    public var learningRate: Double?
    /// Final rate as a share of the peak.
    public var minLearningRateRatio: Double
    /// Steps of warm-up.
    public var warmupSteps: Int
    /// The shape of the learning rate behind the warm-up.
    public var schedule: LearningRateSchedule.Shape
    /// Share of the steps that `wsd` decays over.
    public var decayFraction: Double
    /// AdamW's decoupled decay of matrices.
    public var weightDecay: Double
    /// Decay of the first moment.
    public var beta1: Double
    /// Decay of the second moment.
    public var beta2: Double
    /// Added to the root of the second moment.
    public var epsilon: Double
    /// Limit on the gradient's global norm; 0: none.
    public var clip: Double
    /// Dropout on the embedding and the residual branches.
    public var dropout: Double
    /// The precision of the matrix products; weights, optimizer, sums and validation are Float32 in any case.
    public var dtype: ComputePrecision
    /// The activations that the backward pass computes again instead of keeping them.
    public var recompute: Recompute
    /// Steps between validations; 0: only after the last.
    public var validateEvery: Int
    /// Sequences validated on at most.
    public var validationSequences: Int
    /// Steps between sampled continuations; 0: none.
    public var sampleEvery: Int
    /// The prompt of samples.
    public var samplePrompt: String
    /// Tokens of a sample.
    public var sampleTokens: Int
    /// Steps between checkpoints; 0: only the last.
    public var checkpointEvery: Int
    /// Threads; nil: every processor the process may run on.
    public var threads: Int?
}

/// A checkpoint to start from.
public struct InitRecipe: Sendable, Hashable, Encodable {
    /// A conversion on the way.
    public struct Convert: Sendable, Hashable, Encodable {
        /// The conversion.
        public var conversion: ConversionRecipe
        /// Seed for methods that draw random numbers.
        public var seed: Int

        /// This conversion with this seed.
        public init(_ conversion: ConversionRecipe, seed: Int) {
            self.conversion = conversion
            self.seed = seed
        }

        /// The seed beside the conversion's own keys.
        public func encode(to encoder: any Encoder) throws {
            try ["seed": seed].encode(to: encoder)
            try conversion.encode(to: encoder)
        }
    }

    /// The checkpoint's path.
    public var checkpoint: String
    /// A conversion on the way.
    public var convert: Convert?
    /// The parent that `distill` and `stopAt` compare with, where it is not `checkpoint`: the model that a converted checkpoint was made from.
    public var parent: String?

    /// A start from the checkpoint at this path, as it is where `convert` is nil; `parent` is the path of the model that it was converted from.
    public init(checkpoint: String, convert: Convert? = nil, parent: String? = nil) {
        self.checkpoint = checkpoint
        self.convert = convert
        self.parent = parent
    }
}

/// A short training after a conversion.
public struct UptrainRecipe: Sendable, Hashable, Encodable {
    /// The length of the uptraining.
    public var length: UptrainLength
    /// Its other settings.
    public var settings: UptrainSettings
    /// Seed of the uptraining's order of the data and its dropout; nil: the recipe's, which continues the parent's own order.
    public var seed: Int?

    /// Distillation from the parent, which runs in the same process.
    public struct Distill: Sendable, Hashable, Encodable {
        /// Share of the loss that is the divergence from the parent's predictions; the rest is the text's.
        public var weight: Double
        /// Temperature of both distributions.
        public var temperature: Double
        /// Weight of the distances between the layers' outputs.
        public var hidden: Double
    }

    /// The bound at which an uptraining ends.
    public struct StopAt: Sendable, Hashable, Encodable {
        /// Held-out loss above the parent's, in percent of it, that ends the uptraining.
        public var withinParentPercent: Double
        /// Steps between evaluations; nil: a twentieth of the steps.
        public var every: Int?
    }

    /// An uptraining of this length with these settings.
    public init(_ length: UptrainLength, _ settings: UptrainSettings = UptrainSettings(), seed: Int? = nil) {
        (self.length, self.settings, self.seed) = (length, settings, seed)
    }

    /// As a recipe has it: the length under the key of its unit, beside the settings' keys.
    public func encode(to encoder: any Encoder) throws {
        try [length.key: length].encode(to: encoder)
        try settings.encode(to: encoder)
        if let seed { try ["seed": seed].encode(to: encoder) }
    }
}

extension Recipe {
    /// This recipe's data and optimizer settings for a short training that starts from a checkpoint.
    ///
    /// Steps, sequences and the learning rate are the uptraining's own or come from that checkpoint's training.
    public func uptraining(name: String, from start: InitRecipe, _ uptrain: UptrainRecipe) -> Recipe {
        var copy = self
        copy.name = name
        copy.lab = nil
        copy.model = nil
        copy.tokenizer = nil
        copy.`init` = start
        copy.uptrain = uptrain
        copy.train.steps = nil
        copy.train.batch = nil
        copy.train.seq = nil
        copy.train.learningRate = nil
        copy.train.validateEvery = 0
        copy.train.sampleEvery = 0
        copy.train.checkpointEvery = 0
        return copy
    }
}
