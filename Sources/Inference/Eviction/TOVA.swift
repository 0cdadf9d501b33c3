/// TOVA: the slots that the last query attends to most, on average over all heads of the layer, whose KV heads all keep the same
/// (Oren et al. 2024, section 3).
///
/// The newest token is kept, as in kvpress; the authors' code does not guard it (`recent` 0).
struct TOVA: EvictionPolicy {
    let name = "tova"
    let inputs: RetentionInputs = .mass
    let scoresHeadsAlike = true

    func newest(of budget: Int) -> Int { 1 }

    func firstObserved(before decision: Int) -> Int { decision - 1 }

    func scores(_ stream: StreamState) -> [[Double]] {
        let sums = (0..<stream.slots).map { slot in stream.mass.reduce(0) { $0 + Double($1[slot]) } }
        return [[Double]](repeating: sums, count: stream.kvHeads)
    }
}
