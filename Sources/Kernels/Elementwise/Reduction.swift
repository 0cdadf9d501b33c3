import CKernels
import Threads

/// Sums and maxima over axes of a row-major array.
///
/// Sums are taken in Float64 over blocks of Float32 partial sums whose size depends on the shape alone, so they do not depend on
/// the number of threads.
public enum Reduction {
    /// The reduction along the reduced axes.
    public enum Operation: Sendable { case sum, maximum }

    /// y = the reduction of x [shape] over `axes`; y's elements are the remaining axes', row-major.
    ///
    /// An empty sum is 0; an empty maximum is a programming error. A NaN makes its maximum NaN.
    public static func reduce(_ operation: Operation, _ x: Storage, shape: [Int], axes: Set<Int>, into y: Storage) {
        var yShape = shape
        for axis in axes { yShape[axis] = 1 }
        precondition(
            x.count == shape.reduce(1, *) && y.count == yShape.reduce(1, *),
            "reduce: \(x.count) elements of \(shape) over \(axes.sorted()) into \(y.count)")
        precondition(operation == .sum || x.count > 0 || y.count == 0, "reduce: the maximum over nothing, shape \(shape)")
        guard x.count > 0 else { return Elementwise.fill(y, with: 0) }
        let xStrides = LoopNest.broadcastStrides(shape, rank: shape.count)
        let yStrides = LoopNest.broadcastStrides(yShape, rank: shape.count)
        var nest = LoopNest(extents: shape, strides: [xStrides, yStrides])
        let inner = nest.removeInnermost() ?? LoopNest.Axis(extent: 1, strides: [1, 0])
        let kept = LoopNest(nest.axes.filter { $0.strides[1] != 0 })
        let reduced = LoopNest(nest.axes.filter { $0.strides[1] == 0 })
        if inner.strides[1] == 0 {
            alongRows(operation, x, inner.extent, kept, reduced, y)
        } else {
            acrossRows(operation, x, inner.extent, kept, reduced, y)
        }
    }

    /// Reduces the innermost axis: one vector reduction a row.
    private static func alongRows(
        _ operation: Operation, _ x: Storage, _ width: Int, _ kept: LoopNest, _ reduced: LoopNest, _ y: Storage
    ) {
        let block = 1 << 16
        let blocks = (width + block - 1) / block
        @Sendable func value(_ start: Int, _ count: Int) -> Double {
            switch operation {
            case .sum: unsafe kernels.sum(x.pointer + start, Int64(count))
            case .maximum: unsafe Double(kernels.maximum(x.pointer + start, Int64(count)))
            }
        }
        @Sendable func combine(_ a: Double, _ b: Double) -> Double {
            switch operation {
            case .sum: a + b
            case .maximum: b > a || b.isNaN ? b : a
            }
        }
        let none = operation == .sum ? 0 : -Double.infinity
        let terms = reduced.count
        if blocks > 1 {
            // Long rows are cut, so that a sum over everything is parallel too.
            let pieces = terms * blocks
            var partial = [Double](repeating: 0, count: kept.count * pieces)
            unsafe partial.withUnsafeMutableBufferPointer { partial in
                nonisolated(unsafe) let partial = unsafe partial
                Parallel.forEach(kept.count * pieces) { unit in
                    let (index, term, start) = (unit / pieces, unit % pieces / blocks, unit % blocks * block)
                    let row = kept.offset(index, operand: 0) + reduced.offset(term, operand: 0)
                    unsafe partial[unit] = value(row + start, min(block, width - start))
                }
            }
            for index in 0..<kept.count {
                let total = partial[index * pieces..<(index + 1) * pieces].reduce(none, combine)
                unsafe y.pointer[kept.offset(index, operand: 1)] = Float(total)
            }
            return
        }
        Parallel.forRanges(kept.count, grain: max(1, Elementwise.grain / (terms * width))) { range in
            for index in range {
                let start = kept.offset(index, operand: 0)
                var total = none
                for term in 0..<terms { total = combine(total, value(start + reduced.offset(term, operand: 0), width)) }
                unsafe y.pointer[kept.offset(index, operand: 1)] = Float(total)
            }
        }
    }

    /// Keeps the innermost axis: rows are summed element by element in chunks of rows, and then the chunks.
    private static func acrossRows(
        _ operation: Operation, _ x: Storage, _ width: Int, _ kept: LoopNest, _ reduced: LoopNest, _ y: Storage
    ) {
        var outerTerms = reduced
        let rows = outerTerms.removeInnermost() ?? LoopNest.Axis(extent: 1, strides: [0, 0])
        let terms = outerTerms.count
        let chunks = max(1, min(rows.extent / 16, 64, rows.extent * width / Elementwise.grain))
        let partial = chunks > 1 ? Storage(count: kept.count * chunks * width) : y
        let outer = outerTerms
        Parallel.forRanges(kept.count * chunks, grain: max(1, Elementwise.grain * chunks / (terms * rows.extent * width))) {
            range in
            for unit in range {
                let (index, chunk) = (unit / chunks, unit % chunks)
                let first = rows.extent * chunk / chunks
                let count = rows.extent * (chunk + 1) / chunks - first
                let from = kept.offset(index, operand: 0) + first * rows.strides[0]
                let to = chunks > 1 ? unit * width : kept.offset(index, operand: 1)
                for term in 0..<terms {
                    columns(
                        operation, x, from + outer.offset(term, operand: 0), count, rows.strides[0], partial, to, width,
                        accumulate: term > 0)
                }
            }
        }
        guard chunks > 1 else { return }
        for index in 0..<kept.count {
            columns(
                operation, partial, index * chunks * width, chunks, width, y, kept.offset(index, operand: 1), width,
                accumulate: false)
        }
    }

    private static func columns(
        _ operation: Operation, _ x: Storage, _ from: Int, _ rows: Int, _ stride: Int, _ y: Storage, _ to: Int, _ width: Int,
        accumulate: Bool
    ) {
        let kernel =
            switch operation {
            case .sum: unsafe kernels.column_sum!
            case .maximum: unsafe kernels.column_maximum!
            }
        unsafe kernel(x.pointer + from, Int64(rows), Int64(stride), y.pointer + to, Int64(width), accumulate ? 1 : 0)
    }
}
