import Kernels

extension Tensor {
    /// (x − mean) · (variance + epsilon)^-½ · weight + bias over the last axis (Ba et al. 2016); x [.., width], weight and
    /// bias [width].
    public func layerNorm(weight: Tensor, bias: Tensor, epsilon: Float) -> Tensor {
        let (rows, width) = rowsAndWidth
        precondition(
            shape.rank >= 1 && weight.shape == [width] && bias.shape == [width],
            "layerNorm: weight \(weight.shape) and bias \(bias.shape) for \(shape)")
        let (x, w) = (storage, weight.storage)
        let output = Storage(count: shape.count)
        let mean = Storage(count: rows)
        let rstd = Storage(count: rows)
        Normalization.layerNorm(
            x: x, weight: w, bias: bias.storage, into: output, mean: mean, rstd: rstd, rows: rows, width: width, epsilon: epsilon)
        return .result(shape, output, from: [self, weight, bias]) { gradient, sink in
            let dx = Storage(count: x.count)
            let dw = Storage(count: width)
            let db = Storage(count: width)
            Normalization.layerNormGradient(
                x: x, weight: w, mean: mean, rstd: rstd, dy: gradient, into: dx, dw: dw, db: db, rows: rows, width: width)
            sink.add(0, dx)
            sink.add(1, dw)
            sink.add(2, db)
        }
    }
}
