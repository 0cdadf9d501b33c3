/// Where a checkpoint comes from: stored in it as one JSON object, covered by its content hash.
public struct Lineage: Codable, Sendable, Hashable {
    /// The checkpoint's own content hash, 64 hexadecimal digits; set by loading and saving, stored beside the lineage.
    public var contentHash: String?
    /// The content hash of the checkpoint this one was made from.
    public var parentHash: String?
    /// A name for tables.
    public var name: String?
    /// The resolved recipe that made it, JSON; models in it go by their content hashes.
    public var recipe: String?
    /// What the recipe's inputs were; nil for a model of another origin, or of a kvlab that kept no record of them.
    public var inputs: InputDigests?
    /// Inputs that were changed in the middle of its training or an ancestor's, which went on by `--force`.
    public var changedInputs: [InputDigests.Change]?
    /// Tokens trained on since the first ancestor's start.
    public var tokensSeen: Int
    /// Optimizer steps since the first ancestor's start.
    public var steps: Int
    /// The tool that wrote it: "kvlab 0.1.0".
    public var toolVersion: String
    /// How it was converted from its parent, in words: "mean, 8 to 2 KV heads".
    public var conversion: String?
    /// Where it was imported from, in words.
    public var source: String?
    /// The training behind it, from which an uptraining takes its share; nil for a model of another origin.
    public var training: TrainingBasis?
    /// What it scored at the end of its training; a conversion has no figures until it is trained.
    public var figures: Figures?
    /// Anything a later tool wants to keep.
    public var notes: [String: String]?

    /// A model's figures on its run's validation text.
    public struct Figures: Codable, Sendable, Hashable {
        /// Nats a token.
        public var validationLoss: Double
        /// Bits a UTF-8 byte, which models of other tokenizers can be compared by.
        public var validationBitsPerByte: Double

        /// The figures of one validation.
        public init(validationLoss: Double, validationBitsPerByte: Double) {
            self.validationLoss = validationLoss
            self.validationBitsPerByte = validationBitsPerByte
        }
    }

    /// A lineage of these facts, without validation figures or inputs yet.
    public init(
        parentHash: String? = nil, name: String? = nil, recipe: String? = nil, tokensSeen: Int = 0, steps: Int = 0,
        toolVersion: String = Lineage.currentTool, conversion: String? = nil, source: String? = nil,
        notes: [String: String]? = nil
    ) {
        self.parentHash = parentHash
        self.name = name
        self.recipe = recipe
        self.tokensSeen = tokensSeen
        self.steps = steps
        self.toolVersion = toolVersion
        self.conversion = conversion
        self.source = source
        self.notes = notes
    }

    /// This tool and its version.
    public static let currentTool = "kvlab 0.1.0"
}
