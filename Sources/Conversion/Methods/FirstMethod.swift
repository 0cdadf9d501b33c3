import Random

/// The group's first head, unchanged (Ainslie et al. 2023, figure 4).
public struct FirstMethod: ConversionMethod {
    public static let name = "first"
    public static let summary = "each group's first head, the others dropped"

    public init() {}

    public func merge(_ group: HeadRows, generator: inout SeededGenerator) -> [Float] { Array(group.head(0)) }
}
