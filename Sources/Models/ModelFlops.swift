extension ModelConfig {
    /// Multiply-adds of matrix products for one token of a sequence of `seq`: every linear weight once, the output
    /// projection included (tied or not), and attention's scores and sums over half the sequence on average.
    ///
    /// A forward pass takes twice as many floating-point operations a token, forward and backward together six times
    /// (Kaplan et al. 2020, section 2.1).
    public func matrixParametersPerToken(seq: Int) -> Double {
        var total = Double(vocabularySize * hiddenSize)
        for layer in 0..<layers {
            let width = heads[layer] * headDim[layer]
            let kvWidth = kvHeads[layer] * headDim[layer]
            total += Double(hiddenSize * (2 * width + 2 * kvWidth) + 3 * hiddenSize * feedForwardSize)
            total += Double(width) * Double(seq + 1)
        }
        return total
    }
}
