import Glibc
import Kernels

/// D2O: an evicted slot is merged into the kept slot whose key is nearest by cosine similarity, where that similarity reaches a
/// threshold, and dropped elsewhere (Wan et al. 2024, "D2O: Dynamic Discriminative Operations for Efficient Long-Context Inference of
/// Large Language Models", section 3.3).
///
/// Of a kept slot c and the evicted slots i whose nearest it is, with similarities u, the value is
///
///     (e·v_c + Σ exp(u_i)·v_i) / (e + Σ exp(u_i))
///
/// The threshold is the mean similarity of the evicted slots with their nearest at the first decision, and from then on half the one
/// before and half the new mean, the constants of the authors' code; a head has its own, as in the paper (in the code heads
/// share one, and weights are not normalised). The authors merge keys too, and keep the lowest two layers and the last whole: here keys
/// stay, and the budget is the policy's.
struct D2O: SlotMerge {
    let name = "d2o"
    let inputs: RetentionInputs = .keys
    /// The share of the new mean in the threshold.
    private static let renewal = 0.5
    /// Evicted slots of a product.
    private static let rows = 512

    func values(_ stream: StreamState, head: Int, kept: [Int], threshold: inout Double?) -> [Int: [Float]] {
        let slots = stream.slots(head: head)
        let isKept = Set(kept)
        let evicted = (0..<slots).filter { !isKept.contains($0) }
        guard !evicted.isEmpty, !kept.isEmpty else { return [:] }
        let nearest = Self.nearest(stream.keys[head].vectors(slots), of: evicted, among: kept)
        let mean = nearest.reduce(0) { $0 + $1.similarity } / Double(nearest.count)
        let least = threshold.map { (1 - Self.renewal) * $0 + Self.renewal * mean } ?? mean
        threshold = least
        var merged: [Int: [(slot: Int, weight: Double)]] = [:]
        for (slot, (target, similarity)) in zip(evicted, nearest) where similarity >= least {
            merged[target, default: [(target, exp(1))]].append((slot, exp(similarity)))
        }
        let values = stream.values[head].vectors(slots)
        return merged.mapValues { parts in
            let total = parts.reduce(0) { $0 + $1.weight }
            return sum(values, parts.map { ($0.slot, $0.weight / total) })
        }
    }

    /// The kept slot nearest to each evicted one and the cosine of their keys; of equally near ones the oldest.
    private static func nearest(
        _ keys: [ArraySlice<Float>], of evicted: [Int], among kept: [Int]
    ) -> [(slot: Int, similarity: Double)] {
        func directions(_ slots: some Collection<Int>) -> Matrix {
            let rows = slots.flatMap { slot in
                let norm = Float(max(keys[slot].norm, 1e-12))
                return keys[slot].map { $0 / norm }
            }
            return Matrix(Storage(copying: rows), rows: slots.count, columns: rows.count / slots.count)
        }
        let targets = directions(kept)
        return stride(from: 0, to: evicted.count, by: rows).flatMap { first -> [(slot: Int, similarity: Double)] in
            let chunk = evicted[first..<min(first + rows, evicted.count)]
            let cosines = Matrix(
                Storage(count: chunk.count * kept.count), rows: chunk.count, columns: kept.count)
            MatMul.multiply(directions(chunk), targets.transpose, into: cosines)
            return chunk.indices.map { index in
                let row = (index - chunk.startIndex) * kept.count
                let cosines = cosines.storage.array(row..<row + kept.count)
                var best = 0
                for other in cosines.indices where cosines[other] > cosines[best] { best = other }
                return (kept[best], Double(cosines[best]))
            }
        }
    }
}
