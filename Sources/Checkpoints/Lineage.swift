/// The lineage of a checkpoint: its parent, recipe and training, stored as one JSON object that the content hash covers.
public struct Lineage: Codable, Sendable, Hashable {
    /// The checkpoint's own content hash, 64 hexadecimal digits; set by loading and saving, stored beside the lineage.
    public var contentHash: String?
    /// The parent's content hash.
    public var parentHash: String?
    /// The model's name in tables.
    public var name: String?
    /// The resolved recipe as JSON, with content hashes in place of models.
    public var recipe: String?
    /// The digests of the recipe's inputs; nil for a model of another origin, or of an older kvlab.
    public var inputs: InputDigests?
    /// The inputs changed during the training, or an ancestor's, which was resumed with `--force`.
    public var changedInputs: [InputDigests.Change]?
    /// Tokens trained on since the first ancestor's start.
    public var tokensSeen: Int
    /// Optimizer steps since the first ancestor's start.
    public var steps: Int
    /// The writing tool: "kvlab 0.1.0".
    public var toolVersion = Self.currentTool
    /// The conversion from the parent, in words: "mean, 8 to 2 KV heads".
    public var conversion: String?
    /// The origin of an imported model, in words.
    public var source: String?
    /// The basis of an uptraining's share of steps; nil for a model of another origin.
    public var training: TrainingBasis?
    /// The figures at the end of the training; nil for an untrained conversion.
    public var figures: Figures?
    /// Notes of later tools.
    public var notes: [String: String]?

    /// A model's figures on its run's validation text.
    public struct Figures: Codable, Sendable, Hashable {
        /// Nats per token.
        public var validationLoss: Double
        /// Bits per UTF-8 byte, comparable across tokenizers.
        public var validationBitsPerByte: Double

        /// The figures of one validation.
        public init(validationLoss: Double, validationBitsPerByte: Double) {
            self.validationLoss = validationLoss
            self.validationBitsPerByte = validationBitsPerByte
        }
    }

    /// A lineage by this tool; conversion, inputs and figures are set later.
    public init(
        parentHash: String? = nil, name: String? = nil, recipe: String? = nil, tokensSeen: Int = 0, steps: Int = 0,
        source: String? = nil
    ) {
        (self.parentHash, self.name, self.recipe) = (parentHash, name, recipe)
        (self.tokensSeen, self.steps, self.source) = (tokensSeen, steps, source)
    }

    /// This tool and its version.
    public static let currentTool = "kvlab 0.1.0"
}
