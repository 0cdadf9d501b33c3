import CKernels
import Threads

extension Elementwise {
    /// y = a op b by NumPy's broadcasting; y has the shape both broadcast to, `shape`.
    public static func binary(
        _ op: Binary, _ a: Storage, shape aShape: [Int], _ b: Storage, shape bShape: [Int], into y: Storage, shape: [Int]
    ) {
        precondition(
            a.count == aShape.reduce(1, *) && b.count == bShape.reduce(1, *) && y.count == shape.reduce(1, *),
            "binary: storages don't fit \(aShape), \(bShape) and \(shape)")
        let rank = shape.count
        var nest = LoopNest(
            extents: shape,
            strides: [
                LoopNest.broadcastStrides(shape, rank: rank), LoopNest.broadcastStrides(aShape, rank: rank),
                LoopNest.broadcastStrides(bShape, rank: rank),
            ])
        guard nest.count > 0 else { return }
        let inner = nest.removeInnermost() ?? LoopNest.Axis(extent: 1, strides: [1, 1, 1])
        let outer = nest
        let (aStep, bStep) = (Int64(inner.strides[1]), Int64(inner.strides[2]))
        forPieces(outer: outer.count, inner: inner.extent) { index, range in
            let start = range.lowerBound
            unsafe kernels.binary(
                op.code, a.pointer + outer.offset(index, operand: 1) + start * inner.strides[1], aStep,
                b.pointer + outer.offset(index, operand: 2) + start * inner.strides[2], bStep,
                y.pointer + outer.offset(index, operand: 0) + start, Int64(range.count))
        }
    }

    /// y = mask ≠ 0 ? a : b, equal counts; an operand with one element is broadcast.
    public static func select(_ mask: Storage, _ a: Storage, _ b: Storage, into y: Storage) {
        precondition(
            mask.count == y.count && (a.count == y.count || a.count == 1) && (b.count == y.count || b.count == 1),
            "select: \(mask.count), \(a.count) and \(b.count) elements into \(y.count)")
        let (aStep, bStep) = (a.count == 1 ? 0 : 1, b.count == 1 ? 0 : 1)
        Parallel.forRanges(y.count, grain: grain) { range in
            let start = range.lowerBound
            unsafe kernels.select(
                mask.pointer + start, a.pointer + start * aStep, Int64(aStep), b.pointer + start * bStep, Int64(bStep),
                y.pointer + start, Int64(range.count))
        }
    }

    /// y = x / (1 − rate) where the random number of (seed, index) keeps the element, else 0; y may alias x.
    ///
    /// A pure function of (seed, index): the gradient is the same call on dy, and any split over threads gives the same mask.
    public static func dropout(_ x: Storage, rate: Float, seed: UInt64, into y: Storage) {
        precondition(x.count == y.count, "dropout: \(x.count) elements into \(y.count)")
        precondition(rate >= 0 && rate <= 1, "dropout: rate \(rate) is outside 0...1")
        let threshold = UInt32((rate * 0x1p24).rounded())
        let scale = rate < 1 ? 1 / (1 - rate) : 0
        Parallel.forRanges(y.count, grain: grain / 4) { range in
            let start = range.lowerBound
            unsafe kernels.dropout(
                x.pointer + start, y.pointer + start, Int64(range.count), mixed(seed), Int64(start), threshold, scale)
        }
    }

    /// SplitMix64's finaliser: seeds that differ by the generator's own increment must not give shifted masks.
    private static func mixed(_ seed: UInt64) -> UInt64 {
        var z = seed ^ 0x5851_F42D_4C95_7F2D
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Calls `body` with an outer index and a range of the inner loop, in pieces of about `grain` elements over the pool.
    static func forPieces(outer: Int, inner: Int, _ body: @Sendable (_ outer: Int, _ range: Range<Int>) -> Void) {
        if inner > grain {
            let chunks = (inner + grain - 1) / grain
            Parallel.forEach(outer * chunks) { unit in
                let chunk = unit % chunks
                body(unit / chunks, inner * chunk / chunks..<inner * (chunk + 1) / chunks)
            }
        } else {
            Parallel.forRanges(outer, grain: max(1, grain / max(inner, 1))) { range in
                for index in range { body(index, 0..<inner) }
            }
        }
    }
}
