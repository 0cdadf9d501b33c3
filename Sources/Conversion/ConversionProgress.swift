/// The progress of a conversion.
public struct ConversionProgress: Sendable, Hashable {
    /// A unit that progress is counted in.
    public enum Unit: String, Sendable {
        /// A layer converted.
        case layer
        /// An optimizer step of the refinement.
        case step
    }

    /// The part of the conversion: merging, refining.
    public var part: String
    /// The unit that the part is counted in.
    public var unit: Unit
    /// Units done of this part.
    public var done: Int
    /// Units that it has; 0 where it isn't counted.
    public var total: Int

    /// `done` of `total` units.
    init(_ part: String, _ unit: Unit, _ done: Int, of total: Int) {
        (self.part, self.unit, self.done, self.total) = (part, unit, done, total)
    }
}
