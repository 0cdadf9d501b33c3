extension ModelConfig {
    /// Float32 values that block `layer` keeps of each token for the backward pass of training, dropout left out.
    ///
    /// These are the residual stream behind both halves, the norms' statistics (of LayerNorm the output too), the rows that attention
    /// reads and writes with their log-sum-exp, and the rows before and behind the feed-forward layer's gate or activation. Normed
    /// rows of RMSNorm and the product of gate and up are never materialised.
    public func activationsPerToken(layer: Int) -> Int {
        let (heads, kvHeads, headDim) = (heads[layer], kvHeads[layer], headDim[layer])
        let norms = hasLayerNorm == true ? 2 * hiddenSize + 4 : 2
        var attention = heads
        if let attentionShape {
            attention += attentionShape.activationsPerToken(heads: heads, headDim: headDim)
        } else {
            attention += 2 * (heads + kvHeads) * headDim
            if hasQueryKeyNorm == true { attention += (heads + kvHeads) * (headDim + 1) }
        }
        return 2 * hiddenSize + norms + attention + 2 * feedForwardSize
    }
}
