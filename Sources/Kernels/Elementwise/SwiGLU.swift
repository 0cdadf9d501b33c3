import CKernels
import Threads

/// silu(gate) · up over rows that hold [gate | up] (Shazeer 2020, GLU Variants Improve Transformer).
public enum SwiGLU {
    /// y [rows, width] from the first `rows` rows of gateUp [.., 2·width].
    public static func forward(gateUp: Storage, into y: Storage, rows: Int, width: Int) {
        precondition(gateUp.count >= rows * 2 * width && y.count >= rows * width, "SwiGLU: storages too small")
        Parallel.forRanges(rows, grain: max(1, Elementwise.grain / (8 * width))) { range in
            unsafe kernels.swiglu(
                gateUp.pointer + range.lowerBound * 2 * width, y.pointer + range.lowerBound * width, Int64(range.count),
                Int64(width))
        }
    }
}
