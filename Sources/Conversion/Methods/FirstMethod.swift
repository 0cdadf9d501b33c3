import Random

/// The group's first head, unchanged (Ainslie et al. 2023, figure 4).
public struct FirstMethod: PoolingMethod {
    /// What `--method` and recipes call it.
    public static let name = "first"
    /// Its line in `--help`.
    public static let summary = "each group's first head, the others dropped"

    /// The method has no settings.
    public init() {}

    /// The first head's rows [headDim, width] as they are; nothing is drawn.
    public func merge(_ group: HeadRows, generator: inout SeededGenerator) -> [Float] { Array(group.head(0)) }
}
