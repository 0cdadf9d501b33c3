import Kernels

extension Tensor {
    /// x · (mean x² + epsilon)^-½ · weight over the last axis (Zhang and Sennrich 2019); x [.., width], weight [width].
    public func rmsNorm(weight: Tensor, epsilon: Float) -> Tensor {
        let (rows, width) = rowsAndWidth
        precondition(shape.rank >= 1 && weight.shape == [width], "rmsNorm: weight \(weight.shape) for \(shape)")
        let (x, w) = (storage, weight.storage)
        let output = Storage(count: shape.count)
        let rstd = Storage(count: rows)
        Normalization.rmsNorm(x: x, weight: w, into: output, rstd: rstd, rows: rows, width: width, epsilon: epsilon)
        return .result(shape, output, from: [self, weight]) { gradient, sink in
            let dw = sink.needs(1) ? Storage(count: width) : nil
            sink.accumulate(0, count: x.count, orDiscard: true) { into, beta in
                Normalization.rmsNormGradient(
                    x: x, weight: w, rstd: rstd, dy: gradient, into: into, dw: dw, rows: rows, width: width,
                    accumulate: beta == 1)
            }
            if let dw { sink.add(1, dw) }
        }
    }
}
