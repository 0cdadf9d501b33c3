/// The group of an example, over which scores are averaged: the values that its task varies.
public struct ExampleGroup: Codable, Sendable, Hashable {
    /// The data set of a suite, or the difficulty of LongBench v2.
    public var dataset: String?
    /// The prompt's length that was aimed at, in tokens.
    public var length: Int?
    /// The group of lengths in words by which LongBench-E and LongBench v2 average.
    public var words: String?
    /// The place of the fact asked for, from 0 at the prompt's beginning to 1 at its end.
    public var depth: Double?
    /// The number of a conversation's turn, from 1.
    public var turn: Int?
}
