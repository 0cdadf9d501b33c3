import Random

/// Keys and values initialised anew, as for training from scratch (Ainslie et al. 2023, figure 4): the control of the other
/// methods.
struct RandomMethod: PoolingMethod {
    static let name = "random"
    static let summary = "keys and values reinitialised (normal, deviation 0.02)"

    /// The random rows [headDim, width]; only the group's shape is used.
    func merge(_ group: HeadRows, generator: inout SeededGenerator) -> [Float] {
        generator.normals(group.headDim * group.width, deviation: 0.02)
    }
}
