import Kernels

/// What a trainer needs beyond the weights to go on exactly where it stopped.
public struct TrainingState: Sendable {
    /// Float32 arrays under names of their own, such as `m/model.norm.weight`: a group and a name in it, or a name alone.
    public var arrays: [String: Storage]
    /// Everything else, as JSON: step, generator states, position in the data.
    public var json: String

    public init(arrays: [String: Storage] = [:], json: String) {
        self.arrays = arrays
        self.json = json
    }
}
