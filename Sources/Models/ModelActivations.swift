import Kernels

extension ModelConfig {
    /// Float32 values that block `layer` keeps of each token for the backward pass of training, dropout left out.
    ///
    /// These are the residual stream behind both halves, the norms' statistics (of LayerNorm the output too), the rows that attention
    /// reads and writes with their log-sum-exp, and the rows before and behind the feed-forward layer's gate or activation. Normed
    /// rows of RMSNorm and the product of gate and up are never materialised.
    ///
    /// - Parameter encoding: that of the compressed cache that attention goes through, which reads rows in one form or in two; nil for none.
    public func activationsPerToken(layer: Int, through encoding: KVEncoding? = nil) -> Int {
        let (heads, kvHeads, headDim) = (heads[layer], kvHeads[layer], headDim[layer])
        let norms = hasLayerNorm == true ? 2 * hiddenSize + 4 : 2
        let forms = encoding.map { StoredRows.Form.all(of: $0).count } ?? 1
        var attention = heads
        if let attentionShape {
            attention += attentionShape.activationsPerToken(
                heads: heads, headDim: headDim, forms: forms, isStored: encoding != nil)
        } else {
            attention += forms * (heads + 2 * kvHeads) * headDim + heads * headDim
            if hasQueryKeyNorm == true { attention += (heads + kvHeads) * (headDim + 1) }
        }
        return 2 * hiddenSize + norms + attention + 2 * feedForwardSize
    }
}
