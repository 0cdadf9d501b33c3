import Files
import Kernels
import Models
import Text

/// A checkpoint: a model with its tokenizer, lineage and training state.
public struct Checkpoint: Sendable {
    /// The model's configuration.
    public var config: ModelConfig
    /// The weights; a loaded checkpoint's lie in its mapped file or in memory of their own.
    public var parameters: Parameters
    /// The tokenizer; nil without one.
    public var tokenizer: SerializedTokenizer?
    /// The special tokens named by the model's files.
    public var tokenIDs: TokenIDs
    /// The lineage: the parent, the recipe and the tokens seen.
    public var lineage: Lineage
    /// The state of the optimizer and of the data, to resume training; nil without one.
    public var trainingState: TrainingState?

    /// A checkpoint in memory, neither checked nor written.
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

    /// The element type of all weights; nil if they differ.
    public var elementType: ElementType? {
        let types = Set(parameters.names.compactMap { parameters[$0]?.elementType })
        return types.count == 1 ? types.first : nil
    }

    /// The extent of the verification of a file.
    public enum Verification: Sendable {
        /// Everything: any changed byte is an error. Reads the whole file.
        case full
        /// All but the weights' values: for inspecting large files.
        case structure
    }

    /// Reads the checkpoint at `path`; weights are mapped into memory from the file unless they are copied.
    ///
    /// Throws ``CheckpointError`` or `FileError`: a truncated, changed, foreign or misshapen file is refused, libhdf5 reads
    /// it only in a confined process (``ListingProcess``), and no allocation exceeds the file's size.
    ///
    /// - Parameters:
    ///   - trainingState: whether to read the training state, twice the size of the weights, if present.
    ///   - copiesWeights: whether weights are copied into memory and verified there, so that later changes of the file do not
    ///     affect them: for serving.
    public static func load(
        _ path: String, verify: Verification = .full, trainingState: Bool = true, copiesWeights: Bool = false
    ) throws -> Checkpoint {
        try CheckpointReader(path: path, verify: verify, copiesWeights: copiesWeights).read(trainingState: trainingState)
    }

    /// Writes the checkpoint to `path` atomically and returns its content hash.
    ///
    /// - Parameters:
    ///   - elementType: the element type that weights are rounded to (to nearest, ties to even); nil keeps each weight's own.
    ///   - links: whether a symbolic link at `path` is written through, as for paths named by a user.
    ///   - faults: injected faults, for tests.
    @discardableResult
    public func save(
        to path: String, elementType: ElementType? = nil, links: SymbolicLinks = .refused, faults: AtomicFile.Faults? = nil
    ) throws -> String {
        try CheckpointWriter(checkpoint: self, elementType: elementType).write(to: path, links: links, faults: faults)
    }
}
