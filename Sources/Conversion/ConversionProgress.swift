/// The progress of a conversion.
public struct ConversionProgress: Sendable, Hashable {
    /// The part of the conversion: merging, refining.
    public var part: String
    /// Layers done of this part.
    public var done: Int
    /// Layers that it has; 0 where it isn't counted.
    public var total: Int

    /// `done` of `total` layers; a part that isn't counted by default.
    init(_ part: String, _ done: Int = 0, of total: Int = 0) {
        (self.part, self.done, self.total) = (part, done, total)
    }
}
