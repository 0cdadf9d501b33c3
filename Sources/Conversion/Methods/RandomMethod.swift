import Random

/// Keys and values initialised anew, as for training from scratch (Ainslie et al. 2023, figure 4): the control that shows
/// what the other methods keep.
public struct RandomMethod: PoolingMethod {
    /// What `--method` and recipes call it.
    public static let name = "random"
    /// Its line in `--help`.
    public static let summary = "keys and values reinitialised (normal, deviation 0.02)"

    /// The method has no settings: the deviation is fixed.
    public init() {}

    /// Draws rows [headDim, width]; of the group only the shape is used.
    public func merge(_ group: HeadRows, generator: inout SeededGenerator) -> [Float] {
        generator.normals(group.headDim * group.width, deviation: 0.02)
    }
}
