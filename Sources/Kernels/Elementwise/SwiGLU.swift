import CKernels
import Threads

/// silu(gate) · up over rows that hold [gate | up] (Shazeer 2020, GLU Variants Improve Transformer).
public enum SwiGLU {
    /// y [rows, width] from gateUp [rows, 2·width], for the rows starting at `firstRow` of gateUp.
    public static func forward(gateUp: Storage, firstRow: Int = 0, into y: Storage, rows: Int, width: Int) {
        precondition(gateUp.count >= (firstRow + rows) * 2 * width && y.count >= rows * width, "SwiGLU: storages too small")
        Parallel.forRanges(rows, grain: max(1, Elementwise.grain / (8 * width))) { range in
            unsafe kernels.swiglu(
                gateUp.pointer + (firstRow + range.lowerBound) * 2 * width, y.pointer + range.lowerBound * width,
                Int64(range.count),
                Int64(width))
        }
    }

    /// The gradient of gateUp [rows, 2·width] from dy [rows, width]; may overwrite gateUp itself.
    public static func gradient(gateUp: Storage, dy: Storage, into dGateUp: Storage, rows: Int, width: Int) {
        precondition(
            gateUp.count == rows * 2 * width && dGateUp.count == gateUp.count && dy.count == rows * width,
            "SwiGLU: storages don't fit")
        Parallel.forRanges(rows, grain: max(1, Elementwise.grain / (8 * width))) { range in
            let start = range.lowerBound
            unsafe kernels.swiglu_gradient(
                gateUp.pointer + start * 2 * width, dy.pointer + start * width, dGateUp.pointer + start * 2 * width,
                Int64(range.count), Int64(width))
        }
    }
}
