import CKernels
import Glibc
import Threads

/// Cosines and sines of rotary position embedding (Su et al. 2021), and the rotation itself.
///
/// Half-split order, as Hugging Face's Llama files have it: plane i pairs elements i and i + headDim / 2 of a head.
@safe public struct RotaryTable: Sendable {
    /// Positions the table holds, from 0.
    public let positions: Int
    /// Elements of a head.
    public let headDim: Int
    /// The factor on cosines and sines, which scales rotated queries and keys by it.
    public let amplitude: Float
    /// [positions, headDim / 2] each.
    let cosine: Storage
    let sine: Storage

    /// The table for positions 0 ..< `positions`, with frequency theta^(−2i / headDim) for plane i.
    ///
    /// Frequencies and angles are rounded to Float32 as transformers does, so that logits agree at long positions;
    /// cosine and sine of the rounded angle are exact to the last bit.
    public init(positions: Int, headDim: Int, theta: Float = 10_000) {
        precondition(headDim > 0 && headDim % 2 == 0, "RotaryTable: headDim \(headDim) is not even and positive")
        let frequencies = (0..<headDim / 2).map { 1 / powf(theta, Float(2 * $0) / Float(headDim)) }
        self.init(positions: positions, frequencies: frequencies)
    }

    /// The table for given frequencies (radians a position), one a plane: for RoPE scaling.
    public init(positions: Int, frequencies: [Float], amplitude: Float = 1) {
        precondition(positions >= 0, "RotaryTable: \(positions) positions")
        let half = frequencies.count
        self.positions = positions
        self.headDim = 2 * half
        self.amplitude = amplitude
        cosine = Storage(count: positions * half)
        sine = Storage(count: positions * half)
        let cosine = cosine
        let sine = sine
        Parallel.forRanges(positions, grain: max(1, 1024 / max(half, 1))) { range in
            for position in range {
                for plane in 0..<half {
                    let angle = Double(Float(position) * frequencies[plane])
                    unsafe cosine.pointer[position * half + plane] = Float(cos(angle)) * amplitude
                    unsafe sine.pointer[position * half + plane] = Float(sin(angle)) * amplitude
                }
            }
        }
    }

    /// The kernels' view of the table, for planes from element `start` of a head on. The table must outlive it.
    func packed(start: Int = 0) -> kk_rotary {
        unsafe kk_rotary(cosine: cosine.pointer, sine: sine.pointer, half: Int64(headDim / 2), start: Int64(start))
    }

    /// Rotates `heads` heads of each of `rows` rows in place, row r by the angles of `positions[r]`; `inverse` rotates back,
    /// which is the gradient.
    ///
    /// A row starts at `offset` + r · `stride` (by default heads · headDim) and holds [heads, headDim]. A table narrower than
    /// `headDim` (partial rotary) rotates the elements from `start` of each head on and leaves the others.
    public func rotate(
        _ x: Storage, offset: Int = 0, positions rowPositions: [Int32], rows: Int, stride: Int? = nil, heads: Int, headDim: Int,
        start partStart: Int = 0, inverse: Bool = false
    ) {
        let stride = stride ?? heads * headDim
        precondition(
            partStart >= 0 && partStart + self.headDim <= headDim,
            "rotate: \(self.headDim) elements from \(partStart) on of heads of \(headDim)")
        precondition(rowPositions.count == rows, "rotate: \(rowPositions.count) positions for \(rows) rows")
        precondition(
            rowPositions.allSatisfy { $0 >= 0 && Int($0) < positions }, "rotate: a position is outside 0..<\(positions)")
        precondition(
            offset >= 0 && heads >= 0 && (stride >= heads * headDim || rows <= 1)
                && (rows == 0 || offset + (rows - 1) * stride + heads * headDim <= x.count),
            "rotate: \(rows) rows of \(heads)×\(headDim) (stride \(stride)) at \(offset) outside \(x.count) elements")
        unsafe rowPositions.withUnsafeBufferPointer { indices in
            guard let indices = indices.baseAddress else { return }
            nonisolated(unsafe) let base = unsafe indices
            nonisolated(unsafe) let table = unsafe packed(start: partStart)
            Parallel.forRanges(rows, grain: max(1, Elementwise.grain / max(heads * headDim, 1))) { range in
                let start = range.lowerBound
                unsafe kernels.rotate(
                    x.pointer + offset + start * stride, base + start, Int64(range.count), Int64(stride), Int64(heads),
                    Int64(headDim), table, inverse ? 1 : 0)
            }
        }
        extendLifetime(self)
    }
}
