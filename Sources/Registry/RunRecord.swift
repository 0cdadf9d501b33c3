import GRDB

/// A run's folder as the registry knows it.
public struct RunRecord: Codable, Sendable, Equatable, FetchableRecord, PersistableRecord {
    /// How far a run is.
    public enum Status: String, Codable, Sendable {
        /// A process holds its lock.
        case running
        /// Its model is written.
        case finished
        /// Neither: it can be resumed where it has a checkpoint.
        case stopped
    }

    /// The folder, relative to the registry's.
    public var path: String
    /// The recipe's name for it.
    public var name: String
    /// How far it is.
    public var status: Status
    /// Last step in its metrics.
    public var step: Int
    /// The resolved recipe, JSON.
    public var recipe: String
    /// Training loss of the last step, nats per token.
    public var loss: Double?
    /// Held-out loss of the last validation, nats per token.
    public var validationLoss: Double?
    /// The same in bits per byte.
    public var validationBitsPerByte: Double?
    /// Median over the steps.
    public var tokensPerSecond: Double?
    /// Bytes of all files in the folder itself.
    public var bytes: Int
    /// When its metrics last changed, seconds since 1970.
    public var updated: Double
    /// Changes when a file that the record was read from does.
    var stamp: String

    public static let databaseTableName = "run"
}

/// One line of a run's metrics.
struct MetricRecord: Codable, Sendable, FetchableRecord, PersistableRecord {
    var run: String
    var line: Int
    var step: Int
    var loss: Double?
    var learningRate: Double?
    var gradientNorm: Double?
    var tokensPerSecond: Double?
    var validationLoss: Double?
    var validationBitsPerByte: Double?

    static let databaseTableName = "metric"
}

/// A checkpoint file as the registry knows it.
public struct CheckpointRecord: Codable, Sendable, Equatable, FetchableRecord, PersistableRecord {
    /// The file, relative to the registry's folder.
    public var path: String
    /// Content hash; nil where the file could not be read.
    public var hash: String?
    /// Content hash of the checkpoint that this was made from.
    public var parentHash: String?
    /// Its lineage's name.
    public var name: String?
    /// How it was converted, in words.
    public var conversion: String?
    /// Where it was imported from, in words.
    public var source: String?
    /// Optimizer steps since the first ancestor's start.
    public var steps: Int
    /// Tokens since the first ancestor's start.
    public var tokensSeen: Int
    /// Parameters.
    public var parameters: Int
    /// KV heads, one number or one a layer.
    public var kvHeads: String
    /// Cache bytes per token in fp16.
    public var kvBytesPerToken: Int
    /// Size of the file.
    public var bytes: Int
    /// Why it could not be read.
    public var problem: String?
    /// Changes when the file does.
    var stamp: String

    public static let databaseTableName = "checkpoint"
}
