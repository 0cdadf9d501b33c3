import Kernels

extension Tensor {
    /// Dropout with inverted scaling (Srivastava et al. 2014): an element is 0 with probability `rate`, else divided by
    /// 1 − rate.
    ///
    /// The mask is a function of `seed` and the element's index alone: it is the same on any number of threads, and is
    /// recomputed in the backward pass, not saved.
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
