import CKernels
import Threads

/// Cross-entropy of rows of logits against class indices.
public enum CrossEntropy {
    /// Each row's loss, log Σ exp − logit[target], into `losses`; a negative target gives 0.
    ///
    /// With `gradientScale` the logits [rows, classes] are overwritten by the gradient, scale · (softmax − one-hot).
    public static func rows(
        logits: Storage, targets: [Int32], rows: Int, classes: Int, into losses: Storage, gradientScale: Float? = nil
    ) {
        precondition(
            logits.count >= rows * classes && rows <= targets.count && rows <= losses.count,
            "CrossEntropy: storages don't fit \(rows)×\(classes)")
        precondition(
            targets[..<rows].allSatisfy { $0 < Int32(classes) }, "CrossEntropy: a target is not below \(classes)")
        unsafe targets.withUnsafeBufferPointer { targets in
            nonisolated(unsafe) let targets = targets.baseAddress
            Parallel.forRanges(rows, grain: max(1, Elementwise.grain / (8 * classes))) { range in
                let start = range.lowerBound
                guard let targets = unsafe targets else { return }
                unsafe kernels.cross_entropy(
                    logits.pointer + start * classes, targets + start, losses.pointer + start, Int64(range.count),
                    Int64(classes), gradientScale ?? 0, gradientScale == nil ? 0 : 1)
            }
        }
    }
}
