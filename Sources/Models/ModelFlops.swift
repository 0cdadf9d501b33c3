extension ModelConfig {
    /// Multiply-adds of matrix products for one token of a sequence of `seq`: every linear weight once, the output
    /// projection included (tied or not), and attention's scores and sums over half the sequence, or the window, on average.
    ///
    /// A forward pass takes twice as many floating-point operations a token, forward and backward together six times
    /// (Kaplan et al. 2020, section 2.1).
    public func matrixParametersPerToken(seq: Int) -> Double {
        var total = Double(vocabularySize * hiddenSize)
        for (name, shape) in weights where shape.count == 2 && name.layer != nil {
            total += Double(shape[0] * shape[1])
        }
        for layer in 0..<layers {
            let keys = min(Double(seq + 1) / 2, Double(window(layer) ?? seq))
            total += Double(heads[layer]) * Double(headDim[layer] + (attentionShape?.valueHeadDim ?? headDim[layer])) * keys
        }
        return total
    }
}
