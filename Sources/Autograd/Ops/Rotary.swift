import Kernels

extension Tensor {
    /// Rotary position embedding in half-split order (Su et al. 2021); x [.., seq, heads, headDim] keeps its shape.
    ///
    /// `positions` has the position of each [heads, headDim] row: one for every row, or `seq` positions that all sequences
    /// share. The gradient is rotated back by the same angles.
    public func rotary(_ table: RotaryTable, positions: [Int32]) -> Tensor {
        precondition(shape.rank >= 3, "rotary: \(shape) is not [.., seq, heads, headDim]")
        let (heads, headDim, seq) = (shape[-2], shape[-1], shape[-3])
        let rows = shape.dimensions.dropLast(2).reduce(1, *)
        precondition(
            positions.count == rows || positions.count == seq,
            "rotary: \(positions.count) positions for \(shape), expected \(rows) or \(seq)")
        let all =
            positions.count == rows ? positions : [[Int32]](repeating: positions, count: rows / max(seq, 1)).flatMap { $0 }
        let output = Storage(count: shape.count)
        Elementwise.scale(storage, by: 1, into: output)
        table.rotate(output, positions: all, rows: rows, heads: heads, headDim: headDim)
        return .result(shape, output, from: [self]) { gradient, sink in
            let dx = Storage(count: gradient.count)
            Elementwise.scale(gradient, by: 1, into: dx)
            table.rotate(dx, positions: all, rows: rows, heads: heads, headDim: headDim, inverse: true)
            sink.add(0, dx)
        }
    }
}
