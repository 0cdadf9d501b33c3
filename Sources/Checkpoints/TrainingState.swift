import Kernels

/// The training state: all that a trainer needs beyond the weights to resume exactly.
public struct TrainingState: Sendable {
    /// Float32 arrays by name, `group/name` such as `m/model.norm.weight` or a name alone.
    public var arrays: [String: Storage]
    /// The rest as JSON: step, generator states, position in the data.
    public var json: String

    /// A training state of these arrays and this JSON.
    public init(arrays: [String: Storage] = [:], json: String) {
        self.arrays = arrays
        self.json = json
    }
}
