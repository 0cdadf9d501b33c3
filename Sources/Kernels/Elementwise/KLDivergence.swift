import CKernels
import Threads

/// KL divergence between the softmax of rows of logits.
public enum KLDivergence {
    /// For each row KL(softmax(from) ‖ softmax(to)) in nats; both [rows, classes].
    public static func rows(from: Storage, to: Storage, rows: Int, classes: Int) -> [Float] {
        precondition(
            from.count == rows * classes && to.count == from.count, "KLDivergence: storages don't fit [\(rows), \(classes)]")
        let result = Storage(count: rows)
        Parallel.forRanges(rows, grain: max(1, Elementwise.grain / (16 * classes))) { range in
            let start = range.lowerBound
            unsafe kernels.divergence(
                from.pointer + start * classes, to.pointer + start * classes, result.pointer + start, Int64(range.count),
                Int64(classes))
        }
        return result.array()
    }
}
