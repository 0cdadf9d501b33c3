/// StreamingLLM: attention sinks and the newest tokens (Xiao et al. 2023, section 3.2), with keys at their own positions.
///
/// The paper counts positions inside the cache; see there and kvpress's `KeyRerotationPress`.
struct StreamingLLM: EvictionPolicy {
    let name = "streaming-llm"
    let options: Set<EvictionOption> = [.sinks, .interval]
    let sinks = 4
    let scoresHeadsAlike = true
    let isQueryAgnostic = true

    func scores(_ stream: StreamState) -> [[Double]] { stream.ages }
}

/// A sliding window: the newest tokens alone (Beltagy et al. 2020).
struct SlidingWindow: EvictionPolicy {
    let name = "window"
    let options: Set<EvictionOption> = [.interval]
    let scoresHeadsAlike = true
    let isQueryAgnostic = true

    func scores(_ stream: StreamState) -> [[Double]] { stream.ages }
}

extension StreamState {
    /// The positions as scores: the newest are highest.
    fileprivate var ages: [[Double]] {
        (0..<kvHeads).map { head in (0..<slots(head: head)).map { Double(position($0, head: head)) } }
    }
}
