import CKernels
import Threads

/// Row operations on logits for sampling.
public enum LogitRows {
    /// The argmax of each row, the lowest id of equal ones: logits [rows, width].
    public static func argmax(_ logits: Storage, rows: Int, width: Int) -> [Int32] {
        precondition(logits.count >= rows * width && width > 0, "argmax: \(logits.count) logits for [\(rows), \(width)]")
        // Empty arrays share one storage, into which this initializer would write while others read it.
        guard rows > 0 else { return [] }
        return unsafe [Int32](unsafeUninitializedCapacity: rows) { tokens, count in
            guard let tokens = tokens.baseAddress else { return }
            nonisolated(unsafe) let to = unsafe tokens
            Parallel.forRanges(rows, grain: max(1, Elementwise.grain / width)) { range in
                for row in range { unsafe to[row] = Int32(kernels.argmax(logits.pointer + row * width, Int64(width))) }
            }
            count = rows
        }
    }

    /// The probabilities of a row of logits divided by `temperature`, which is above 0.
    public static func softmax(_ logits: [Float], temperature: Float) -> [Float] {
        // Shifted by the maximum, so that no quotient overflows.
        let top = logits.max() ?? 0
        let (x, y) = (Storage(copying: logits.map { $0 - top }), Storage(count: logits.count))
        unsafe kernels.scale(1 / temperature, x.pointer, x.pointer, Int64(logits.count))
        unsafe kernels.softmax(x.pointer, y.pointer, 1, Int64(logits.count))
        return y.array()
    }

    /// The log-probabilities of a row.
    public static func logSoftmax(_ logits: Storage, row: Int, width: Int) -> [Float] {
        precondition(logits.count >= (row + 1) * width, "logSoftmax: \(logits.count) logits, row \(row) of \(width)")
        let y = Storage(count: width)
        unsafe kernels.log_softmax(logits.pointer + row * width, y.pointer, 1, Int64(width))
        return y.array()
    }
}
