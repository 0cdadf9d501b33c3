import CKernels

@testable import Kernels

/// Merges attention over disjoint parts of the keys into attention over all of them.
enum AttentionMerge {
    /// Merges parts of normalised outputs [rows, heads·valueDim] with their log-sum-exp [rows, heads]:
    /// m = max m_i, w_i = e^(m_i − m), output = Σ w_i·output_i / Σ w_i, logSumExp = m + ln Σ w_i.
    ///
    /// Precondition: at least one part, all of the same sizes.
    static func merge(
        _ parts: [(output: Storage, logSumExp: Storage)]
    ) -> (output: Storage, logSumExp: Storage) {
        let (width, count) = (parts.first?.output.count ?? 0, parts.first?.logSumExp.count ?? 0)
        precondition(
            count > 0 && width % count == 0
                && parts.allSatisfy { $0.output.count == width && $0.logSumExp.count == count },
            "attention merge: parts of \(parts.map { [$0.output.count, $0.logSumExp.count] }) elements")
        // The kernel takes parts at a constant distance.
        let side = (output: Storage(count: parts.count * width), logSumExp: Storage(count: parts.count * count))
        for (index, part) in parts.enumerated() {
            unsafe (side.output.pointer + index * width).update(from: part.output.pointer, count: width)
            unsafe (side.logSumExp.pointer + index * count).update(from: part.logSumExp.pointer, count: count)
        }
        let result = (output: Storage(count: width), logSumExp: Storage(count: count))
        unsafe kernels.paged.merge(
            Int64(parts.count), side.output.pointer, Int64(width), side.logSumExp.pointer, Int64(count), Int64(count),
            Int64(width / count), result.output.pointer, result.logSumExp.pointer)
        return result
    }
}
