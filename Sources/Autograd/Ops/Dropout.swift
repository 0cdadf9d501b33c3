import Kernels

extension Tensor {
    /// Each element 0 with probability `rate`, else divided by 1 − rate (Srivastava et al. 2014, inverted scaling).
    ///
    /// Which elements are dropped is a function of `seed` and their index alone: the same seed drops the same elements on
    /// any number of threads, and the mask is not kept but drawn again in the backward pass.
    public func dropout(rate: Float, seed: UInt64) -> Tensor {
        precondition(rate >= 0 && rate <= 1, "dropout: rate \(rate) is outside 0...1")
        if rate == 0 { return self }
        let output = Storage(count: shape.count)
        Elementwise.dropout(storage, rate: rate, seed: seed, into: output)
        return .result(shape, output, from: [self]) { gradient, sink in
            let dx = Storage(count: gradient.count)
            Elementwise.dropout(gradient, rate: rate, seed: seed, into: dx)
            sink.add(0, dx)
        }
    }
}
