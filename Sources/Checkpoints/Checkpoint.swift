import Files
import Kernels
import Models
import Text

/// A model with everything needed to use it, judge it and go on training it.
public struct Checkpoint: Sendable {
    /// The model's shape.
    public var config: ModelConfig
    /// Its weights; when loaded, in the file mapped into memory, or in memory of their own.
    public var parameters: Parameters
    /// The tokenizer, where there is one.
    public var tokenizer: SerializedTokenizer?
    /// Special tokens that the model's own files name.
    public var tokenIDs: TokenIDs
    /// Where it comes from.
    public var lineage: Lineage
    /// What training needs to go on, where it is kept.
    public var trainingState: TrainingState?

    /// A checkpoint in memory; nothing is checked or written yet.
    public init(
        config: ModelConfig, parameters: Parameters, tokenizer: SerializedTokenizer? = nil, tokenIDs: TokenIDs = TokenIDs(),
        lineage: Lineage = Lineage(), trainingState: TrainingState? = nil
    ) {
        self.config = config
        self.parameters = parameters
        self.tokenizer = tokenizer
        self.tokenIDs = tokenIDs
        self.lineage = lineage
        self.trainingState = trainingState
    }

    /// The element type of all weights, or nil where they differ.
    public var elementType: ElementType? {
        let types = Set(parameters.names.compactMap { parameters[$0]?.elementType })
        return types.count == 1 ? types.first : nil
    }

    /// How much of a file is checked when it is opened.
    public enum Verification: Sendable {
        /// Everything: any changed byte is an error. Reads the whole file.
        case full
        /// All but the weights' own values: for looking into large files.
        case structure
    }

    /// Reads the checkpoint at `path`; weights stay in the file, mapped into memory, unless they are copied.
    ///
    /// Throws ``CheckpointError`` or `FileError`: a truncated, changed, foreign or misshapen file is refused, libhdf5 sees it in a
    /// confined process of its own alone (``ListingProcess``), and nothing larger than the file is ever allocated.
    ///
    /// - Parameters:
    ///   - trainingState: whether to read the training state, twice the size of the weights, if there is one.
    ///   - copiesWeights: whether weights are read into memory of their own and checked there, so that what happens to the file
    ///     afterwards happens to the file alone: for serving.
    public static func load(
        _ path: String, verify: Verification = .full, trainingState: Bool = true, copiesWeights: Bool = false
    ) throws -> Checkpoint {
        try CheckpointReader(path: path, verify: verify, copiesWeights: copiesWeights).read(trainingState: trainingState)
    }

    /// Writes the checkpoint so that at every moment `path` holds what was there before or all of this, and returns
    /// its content hash.
    ///
    /// - Parameters:
    ///   - elementType: what to round the weights to (to nearest, ties to even); nil keeps each as it is.
    ///   - links: whether a symbolic link at `path` is written through: where a user named it.
    ///   - faults: for tests of failure.
    @discardableResult
    public func save(
        to path: String, elementType: ElementType? = nil, links: SymbolicLinks = .refused, faults: AtomicFile.Faults? = nil
    ) throws -> String {
        try CheckpointWriter(checkpoint: self, elementType: elementType).write(to: path, links: links, faults: faults)
    }
}
