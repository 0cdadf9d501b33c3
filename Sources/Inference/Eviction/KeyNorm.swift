/// Knorm: keys of small norm are kept, as they get the most attention (Devoto et al. 2024, "A Simple and Effective L2 Norm-Based
/// Strategy for KV Cache Compression", section 4).
///
/// The authors' code leaves the two lowest layers alone; here, as in kvpress, every layer is compressed.
struct KeyNorm: EvictionPolicy {
    let name = "knorm"
    let inputs: RetentionInputs = .keys
    let isQueryAgnostic = true

    func scores(_ stream: StreamState) -> [[Double]] {
        stream.keys.enumerated().map { head, keys in keys.vectors(stream.slots(head: head)).map { -$0.norm } }
    }
}

/// KeyDiff: keys that point away from the mean direction are kept (Park et al. 2025, section 3): −cos(k, mean of k/‖k‖).
struct KeyDifference: EvictionPolicy {
    let name = "keydiff"
    let inputs: RetentionInputs = .keys
    let isQueryAgnostic = true

    func scores(_ stream: StreamState) -> [[Double]] {
        stream.keys.enumerated().map { head, keys in
            let keys = keys.vectors(stream.slots(head: head))
            let norms = keys.map { max($0.norm, 1e-12) }
            var anchor = [Double](repeating: 0, count: keys.first?.count ?? 0)
            for (key, norm) in zip(keys, norms) {
                for (index, x) in key.enumerated() { anchor[index] += Double(x) / norm }
            }
            // Its number of keys and its length scale all scores of a head alike; heads that divide a budget compare cosines.
            let length = max(anchor.reduce(0) { $0 + $1 * $1 }.squareRoot(), 1e-12)
            return zip(keys, norms).map { key, norm in
                -zip(key, anchor).reduce(0) { $0 + Double($1.0) * $1.1 } / norm / length
            }
        }
    }
}

extension [Float] {
    /// The rows of a matrix [count, …].
    func vectors(_ count: Int) -> [ArraySlice<Float>] {
        guard count > 0 else { return [] }
        let width = self.count / count
        return (0..<count).map { self[$0 * width..<($0 + 1) * width] }
    }
}

extension ArraySlice<Float> {
    /// The Euclidean norm, summed in Float64.
    var norm: Double { reduce(0) { $0 + Double($1) * Double($1) }.squareRoot() }
}
