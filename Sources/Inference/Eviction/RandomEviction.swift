import Random

/// Random slots, the control: a draw for each position and head decides, so that a retained set is a function of the seed alone.
struct RandomEviction: EvictionPolicy {
    let name = "random"
    let options: Set<EvictionOption> = [.sinks, .recent, .interval, .seed]
    let isQueryAgnostic = true
    private var seed: UInt64 = 0

    mutating func set(_ settings: EvictionSettings) { seed = settings.seed ?? seed }

    func scores(_ stream: StreamState) -> [[Double]] {
        (0..<stream.kvHeads).map { head in
            (0..<stream.slots(head: head)).map { slot in
                var draws = SeededGenerator(
                    seed: seed, stream: UInt64(stream.index), UInt64(head), UInt64(stream.position(slot, head: head)))
                return draws.uniform()
            }
        }
    }
}
