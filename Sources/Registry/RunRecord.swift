import GRDB

/// A run's folder as the registry knows it.
public struct RunRecord: Codable, Sendable, Equatable, FetchableRecord, PersistableRecord {
    /// The state of a run.
    public enum Status: String, Codable, Sendable {
        /// A process holds the run's lock.
        case running
        /// The run's model is written.
        case finished
        /// Neither: the run can be resumed if it has a checkpoint.
        case stopped
    }

    /// The folder, relative to the registry's.
    public var path: String
    /// The name in the run's recipe.
    public var name: String
    /// The run's state.
    public var status: Status
    /// The last step in the metrics.
    public var step: Int
    /// The resolved recipe, JSON.
    public var recipe: String
    /// Training loss of the last step, nats per token.
    public var loss: Double?
    /// Held-out loss of the last validation, nats per token.
    public var validationLoss: Double?
    /// Held-out loss of the last validation, bits per byte.
    public var validationBitsPerByte: Double?
    /// Tokens per second, median over the steps.
    public var tokensPerSecond: Double?
    /// Bytes of all files in the folder itself.
    public var bytes: Int
    /// The time of the last change of the metrics, seconds since 1970.
    public var updated: Double
    /// A stamp of the files that the record was read from, which changes with them.
    var stamp: String

    public static let databaseTableName = "run"
}

/// A validation in a line of a run's metrics.
struct ValidationRecord: Codable, Sendable, PersistableRecord {
    var run: String
    var line: Int
    var step: Int
    var bitsPerByte: Double

    static let databaseTableName = "validation"
}

/// A checkpoint file as the registry knows it.
public struct CheckpointRecord: Codable, Sendable, Equatable, FetchableRecord, PersistableRecord {
    /// The file, relative to the registry's folder.
    public var path: String
    /// Content hash; nil where the file could not be read.
    public var hash: String?
    /// Content hash of the parent.
    public var parentHash: String?
    /// The name in the lineage.
    public var name: String?
    /// The conversion from the parent, in words.
    public var conversion: String?
    /// The origin of an imported model, in words.
    public var source: String?
    /// Optimizer steps since the first ancestor's start.
    public var steps: Int
    /// Tokens since the first ancestor's start.
    public var tokensSeen: Int
    /// Number of parameters.
    public var parameters: Int
    /// KV heads, one number or one a layer.
    public var kvHeads: String
    /// A short name of the attention: MHA, GQA-2, MLA-32.
    public var attention: String
    /// Cache bytes per token in fp16.
    public var kvBytesPerToken: Int
    /// Size of the file.
    public var bytes: Int
    /// The error of reading the file; nil for a sound checkpoint.
    public var problem: String?
    /// A stamp of the file, which changes with it.
    var stamp: String

    public static let databaseTableName = "checkpoint"
}
