import Random

/// CaM: an evicted slot's value, divided by 32, is added to the values of the next 32 kept slots, with a probability that is its
/// attention mass over the mean of theirs (Zhang et al. 2024, "CaM: Cache Merging for Memory-efficient LLMs Inference", section 4.2).
///
/// The mass is what the policy has observed up to the decision; the authors' code takes the last query's. Where fewer than 32 slots
/// follow the value is divided by 32 all the same, as there. Draws are a function of the seed, the stream, the head and the position.
struct CaM: SlotMerge {
    let name = "cam"
    let inputs: RetentionInputs = .mass
    let isRandom = true
    private static let targets = 32
    var seed: UInt64 = 0

    mutating func set(seed: UInt64) { self.seed = seed }

    func values(_ stream: StreamState, head: Int, kept: [Int], threshold: inout Double?) -> [Int: [Float]] {
        let slots = stream.slots(head: head)
        let (mass, values) = (stream.mass[head].map { Double($0) }, stream.values[head].vectors(slots))
        var sums: [Int: [Double]] = [:]
        var first = 0
        for slot in 0..<slots {
            if first < kept.count, kept[first] == slot {
                first += 1
                continue
            }
            let targets = kept[first..<min(first + Self.targets, kept.count)]
            let mean = targets.reduce(0) { $0 + mass[$1] } / Double(max(1, targets.count))
            var draws = SeededGenerator(
                seed: seed, stream: UInt64(stream.index), UInt64(head), UInt64(stream.position(slot, head: head)))
            guard draws.uniform() * mean < mass[slot] else { continue }
            for target in targets {
                let sum = sums[target] ?? values[target].map { Double($0) }
                sums[target] = zip(sum, values[slot]).map { $0 + Double($1) / Double(Self.targets) }
            }
        }
        return sums.mapValues { $0.map { Float($0) } }
    }
}
