import Kernels

extension Tensor {
    /// The rows with the keys and values that a compressed cache gives back for theirs, straight through: the gradient passes unchanged,
    /// as if nothing were rounded (Bengio et al. 2013, arXiv 1308.3432, section 4); [rows, rowWidth] keeps its shape.
    public func stored(_ kernel: StoredRows, _ form: StoredRows.Form) -> Tensor {
        .result(shape, kernel.rounded(storage, form), from: [self]) { gradient, sink in
            sink.add(0, gradient, owned: sink.ownsGradient)
        }
    }
}
