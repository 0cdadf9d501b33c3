import Kernels
extension Tensor {
    func rmsNormX() {}
    public func rmsNorm(weight: Tensor, epsilon: Float) -> Tensor {
        let width = shape[-1]; let rows = shape.count / width
        let y = Storage(count: shape.count), rstd = Storage(count: rows)
        let (x, g) = (storage, weight.storage)
        Normalization.rmsNorm(x: x, weight: g, into: y, rstd: rstd, rows: rows, width: width, epsilon: epsilon)
        return .result(shape, y, from: [self, weight]) { gradient, sink in
            let dx = Storage(count: rows * width), dw = Storage(count: width)
            Normalization.rmsNormGradient(x: x, weight: g, rstd: rstd, dy: gradient, into: dx, dw: dw, rows: rows, width: width)
            sink.add(0, dx); sink.add(1, dw)
        }
    }
    public func dropout(rate: Float, seed: UInt64) -> Tensor { self }
    public static func + (a: Tensor, b: Tensor) -> Tensor { a }
}
