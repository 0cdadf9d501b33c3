import Kernels

extension Tensor {
    /// Causal attention with grouped heads over fused projections: rows [heads·d | kvHeads·d | kvHeads·valueDim]
    /// of [batch·seq, rowWidth] give [batch·seq, heads·valueDim].
    ///
    /// Query head h reads KV head ⌊h·kvHeads/heads⌋. Queries and keys are rotated by `kernel.rotary` on the way.
    public func causalAttention(_ kernel: AttentionKernel) -> Tensor {
        let rows = kernel.batch * kernel.seq
        precondition(shape.count == rows * kernel.rowWidth, "causalAttention: \(shape) for [\(rows), \(kernel.rowWidth)]")
        let width = kernel.outputWidth
        let saved = SavedStorage(storage)
        let output = Storage(count: rows * width)
        let logSumExp = Storage(count: kernel.batch * kernel.heads * kernel.seq)
        kernel.forward(qkv: storage, into: output, logSumExp: logSumExp)
        return .result([rows, width], output, from: [self]) { gradient, sink in
            let (qkv, qkvGradient) = saved.take()
            kernel.backward(qkv: qkv, output: output, logSumExp: logSumExp, gradient: gradient, into: qkvGradient)
            sink.add(0, qkvGradient)
        }
    }
}
