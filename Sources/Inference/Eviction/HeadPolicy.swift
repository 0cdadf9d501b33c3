/// A policy of whole KV heads: the best heads by a measurement keep every slot, the others attention sinks and the newest tokens.
///
/// As many heads are kept whole as the budget has room for beside the others' slots, so that all heads together keep as many slots as
/// under any other policy at the prompt's end. Behind it whole heads grow.
protocol HeadPolicy: EvictionPolicy {
    /// The names of the scores that a file has for it.
    var scoreNames: [String] { get }
    /// The heads, numbered layer by layer, in the order in which they are kept whole, by their scores, [scores, heads].
    func ranking(_ scores: [[Double]]) -> [Int]
}

extension HeadPolicy {
    var options: Set<EvictionOption> { [.sinks, .recent, .interval, .scores] }
    var scoresHeadsAlike: Bool { true }
    var isQueryAgnostic: Bool { true }
    // A head that is not whole has no slot left for a score.
    func scores(_ stream: StreamState) -> [[Double]] {
        (0..<stream.kvHeads).map { [Double](repeating: 0, count: stream.slots(head: $0)) }
    }
}
