import Kernels

extension Tensor {
    /// The queries, keys and values of all heads of latent attention: rows of this tensor are
    /// [heads·(plainDim + rotaryDim) | rank | rotaryDim], rows of `expanded` [heads·(plainDim + valueDim)].
    ///
    /// The result's rows are [heads·d | heads·d | heads·valueDim] with d = plainDim + rotaryDim: the queries, each head's keys
    /// (its own part, then the part that all heads share) and the values. The latent of width `rank` is not read.
    public func latentHeads(
        _ expanded: Tensor, heads: Int, plainDim: Int, rotaryDim: Int, valueDim: Int, rank: Int
    ) -> Tensor {
        let (rows, d) = (shape[0], plainDim + rotaryDim)
        let width = heads * d + rank + rotaryDim
        let expandedWidth = heads * (plainDim + valueDim)
        precondition(
            shape == [rows, width] && expanded.shape == [rows, expandedWidth],
            "latentHeads: \(shape) and \(expanded.shape), expected [\(rows), \(width)] and [\(rows), \(expandedWidth)]")
        let outputWidth = heads * (2 * d + valueDim)
        // The offsets of each part in a row of its source and in a row of the result.
        typealias Part = (fromExpanded: Bool, offset: Int, headStride: Int, target: Int, targetStride: Int, columns: Int)
        let parts: [Part] = [
            (false, 0, d, 0, d, d), (true, 0, plainDim + valueDim, heads * d, d, plainDim),
            (false, heads * d + rank, 0, heads * d + plainDim, d, rotaryDim),
            (true, plainDim, plainDim + valueDim, 2 * heads * d, valueDim, valueDim),
        ]
        let output = Storage(count: rows * outputWidth)
        for part in parts {
            StridedCopy.copy(
                .init(
                    part.fromExpanded ? expanded.storage : storage, offset: part.offset,
                    strides: [part.fromExpanded ? expandedWidth : width, part.headStride, 1]),
                to: .init(output, offset: part.target, strides: [outputWidth, part.targetStride, 1]),
                extents: [rows, heads, part.columns])
        }
        return .result([rows, outputWidth], output, from: [self, expanded]) { gradient, sink in
            for (input, sourceWidth) in [(0, width), (1, expandedWidth)] {
                sink.accumulate(input, count: rows * sourceWidth) { into, beta in
                    if beta == 0 { Elementwise.fill(into, with: 0) }
                    for part in parts where part.fromExpanded == (input == 1) {
                        let isShared = part.headStride == 0
                        // The shared part gets the sum of all heads' gradients.
                        for head in 0..<(isShared ? heads : 1) {
                            StridedCopy.copy(
                                .init(
                                    gradient, offset: part.target + head * part.targetStride,
                                    strides: [outputWidth, part.targetStride, 1]),
                                to: .init(
                                    into, offset: part.offset,
                                    strides: [sourceWidth, isShared ? part.columns : part.headStride, 1]),
                                extents: [rows, isShared ? 1 : heads, part.columns], accumulate: true)
                        }
                    }
                }
            }
        }
    }
}
