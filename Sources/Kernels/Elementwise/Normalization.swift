import CKernels
import Threads

/// RMSNorm (Zhang and Sennrich 2019) and LayerNorm (Ba et al. 2016) over rows, with their gradients.
///
/// Rows are divided over the pool. Weight gradients are summed in chunks of rows that depend on the shape alone, and the chunks
/// are summed in order, so results are the same for any number of threads.
public enum Normalization {
    /// y = x · rstd · weight with rstd = (mean x² + epsilon)^-½; x, y [rows, width], weight [width], rstd [rows].
    public static func rmsNorm(
        x: Storage, weight: Storage, into y: Storage, rstd: Storage, rows: Int, width: Int, epsilon: Float
    ) {
        check("rmsNorm", rows, width, matrices: [x, y], vectors: [weight], columns: [rstd])
        Parallel.forRanges(rows, grain: grain(width)) { range in
            let start = range.lowerBound
            unsafe kernels.rms_norm(
                x.pointer + start * width, weight.pointer, y.pointer + start * width, rstd.pointer + start, Int64(range.count),
                Int64(width), epsilon)
        }
    }

    /// ``rmsNorm(x:weight:into:rstd:rows:width:epsilon:)`` of the first `rows` rows, output packed for weights of `elementType`.
    public static func rmsNorm(
        x: Storage, weight: Storage, rows: Int, epsilon: Float, for elementType: ElementType
    ) -> PackedRows {
        let width = weight.count
        precondition(x.count >= rows * width, "rmsNorm: \(x.count) elements for \(rows) rows of \(width)")
        let y = PackedRows(count: rows, width: width, for: elementType)
        unsafe y.fill { row, values in
            var rstd: Float = 0
            unsafe kernels.rms_norm(x.pointer + row * width, weight.pointer, values, &rstd, 1, Int64(width), epsilon)
        }
        return y
    }

    /// dx (+)= the gradient of ``rmsNorm(x:weight:into:rstd:rows:width:epsilon:)``; dw = the weight's.
    ///
    /// `accumulate` adds to dx instead of writing it; with dw nil the weight's gradient is dropped. dx is neither x nor dy.
    public static func rmsNormGradient(
        x: Storage, weight: Storage, rstd: Storage, dy: Storage, into dx: Storage, dw: Storage?, rows: Int, width: Int,
        accumulate: Bool = false
    ) {
        check(
            "rmsNormGradient", rows, width, matrices: [x, dy, dx], vectors: [weight] + (dw.map { [$0] } ?? []), columns: [rstd])
        precondition(dx !== x && dx !== dy, "rmsNormGradient: dx is also an input")
        let chunks = chunks(rows, width)
        let partial = Storage(repeating: 0, count: chunks * width)
        Parallel.forEach(chunks) { chunk in
            let start = rows * chunk / chunks
            let end = rows * (chunk + 1) / chunks
            unsafe kernels.rms_norm_gradient(
                x.pointer + start * width, weight.pointer, rstd.pointer + start, dy.pointer + start * width,
                dx.pointer + start * width, partial.pointer + chunk * width, Int64(end - start), Int64(width), accumulate ? 1 : 0)
        }
        if let dw { addUp(partial, chunks: chunks, into: dw) }
    }

    /// y = (x − mean) · rstd · weight + bias; x, y [rows, width], weight, bias [width], mean, rstd [rows].
    public static func layerNorm(
        x: Storage, weight: Storage, bias: Storage, into y: Storage, mean: Storage, rstd: Storage, rows: Int, width: Int,
        epsilon: Float
    ) {
        check("layerNorm", rows, width, matrices: [x, y], vectors: [weight, bias], columns: [mean, rstd])
        Parallel.forRanges(rows, grain: grain(width)) { range in
            let start = range.lowerBound
            unsafe kernels.layer_norm(
                x.pointer + start * width, weight.pointer, bias.pointer, y.pointer + start * width, mean.pointer + start,
                rstd.pointer + start, Int64(range.count), Int64(width), epsilon)
        }
    }

    /// ``layerNorm(x:weight:bias:into:mean:rstd:rows:width:epsilon:)`` of the first `rows` rows, output packed for weights of
    /// `elementType`.
    public static func layerNorm(
        x: Storage, weight: Storage, bias: Storage, rows: Int, epsilon: Float, for elementType: ElementType
    ) -> PackedRows {
        let width = weight.count
        precondition(
            x.count >= rows * width && bias.count == width, "layerNorm: \(x.count) elements for \(rows) rows of \(width)")
        let y = PackedRows(count: rows, width: width, for: elementType)
        unsafe y.fill { row, values in
            var (mean, rstd): (Float, Float) = (0, 0)
            unsafe kernels.layer_norm(
                x.pointer + row * width, weight.pointer, bias.pointer, values, &mean, &rstd, 1, Int64(width), epsilon)
        }
        return y
    }

    /// dx, dw and db = the gradients of ``layerNorm(x:weight:bias:into:mean:rstd:rows:width:epsilon:)``. dx is neither x nor dy.
    public static func layerNormGradient(
        x: Storage, weight: Storage, mean: Storage, rstd: Storage, dy: Storage, into dx: Storage, dw: Storage, db: Storage,
        rows: Int, width: Int
    ) {
        check("layerNormGradient", rows, width, matrices: [x, dy, dx], vectors: [weight, dw, db], columns: [mean, rstd])
        precondition(dx !== x && dx !== dy, "layerNormGradient: dx is also an input")
        let chunks = chunks(rows, width)
        let partialWeight = Storage(repeating: 0, count: chunks * width)
        let partialBias = Storage(repeating: 0, count: chunks * width)
        Parallel.forEach(chunks) { chunk in
            let start = rows * chunk / chunks
            let end = rows * (chunk + 1) / chunks
            unsafe kernels.layer_norm_gradient(
                x.pointer + start * width, weight.pointer, mean.pointer + start, rstd.pointer + start, dy.pointer + start * width,
                dx.pointer + start * width, partialWeight.pointer + chunk * width, partialBias.pointer + chunk * width,
                Int64(end - start), Int64(width))
        }
        addUp(partialWeight, chunks: chunks, into: dw)
        addUp(partialBias, chunks: chunks, into: db)
    }

    /// Rows a thread, at least.
    private static func grain(_ width: Int) -> Int { max(1, Elementwise.grain / max(width, 1)) }

    /// Chunks of rows with weight gradients of their own: enough for 64 cores, a few thousand elements each.
    private static func chunks(_ rows: Int, _ width: Int) -> Int { max(1, min(rows, 128, rows * width / (1 << 14))) }

    /// total = the sum over `chunks` rows of partial [chunks, width], first row first.
    private static func addUp(_ partial: Storage, chunks: Int, into total: Storage) {
        let width = total.count
        Parallel.forRanges(width, grain: max(16, Elementwise.grain / chunks)) { range in
            let start = range.lowerBound
            let length = Int64(range.count)
            unsafe kernels.scale(1, partial.pointer + start, total.pointer + start, length)
            for chunk in 1..<max(chunks, 1) {
                unsafe kernels.axpy(1, partial.pointer + chunk * width + start, total.pointer + start, length)
            }
        }
    }

    private static func check(
        _ op: StaticString, _ rows: Int, _ width: Int, matrices: [Storage], vectors: [Storage], columns: [Storage]
    ) {
        precondition(
            rows >= 0 && width >= 0 && matrices.allSatisfy { $0.count == rows * width }
                && vectors.allSatisfy { $0.count == width }
                && columns.allSatisfy { $0.count == rows },
            "\(op): storages of \((matrices + vectors + columns).map(\.count)) elements for \(rows) rows of \(width)")
    }
}
