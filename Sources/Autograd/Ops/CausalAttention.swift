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

    /// Causal attention of the same rows to keys in several places at once: each part has its own keys and values, and its kernel says
    /// which rows see them. Queries are those of each part's own rows.
    ///
    /// Precondition: all kernels have one shape.
    public static func causalAttention(_ parts: [(qkv: Tensor, kernel: AttentionKernel)]) -> Tensor {
        guard let kernel = parts.first?.kernel else { preconditionFailure("causalAttention: no keys to attend to") }
        guard parts.count > 1 else { return parts[0].qkv.causalAttention(kernel) }
        let rows = kernel.batch * kernel.seq
        precondition(
            parts.allSatisfy { $0.qkv.shape.count == rows * kernel.rowWidth && $0.kernel.hasShape(of: kernel) },
            "causalAttention: \(parts.map(\.qkv.shape)) for [\(rows), \(kernel.rowWidth)]")
        func results() -> (output: Storage, logSumExp: Storage) {
            (Storage(count: rows * kernel.outputWidth), Storage(count: kernel.batch * kernel.heads * kernel.seq))
        }
        let found = parts.map { part in
            let result = results()
            part.kernel.forward(qkv: part.qkv.storage, into: result.output, logSumExp: result.logSumExp)
            return result
        }
        let (output, logSumExp) = results()
        kernel.merge(found, into: output, logSumExp: logSumExp)
        let saved = parts.map { (rows: SavedStorage($0.qkv.storage), kernel: $0.kernel) }
        return .result([rows, kernel.outputWidth], output, from: parts.map(\.qkv)) { gradient, sink in
            for (index, part) in saved.enumerated() {
                let (qkv, qkvGradient) = part.rows.take()
                part.kernel.backward(qkv: qkv, output: output, logSumExp: logSumExp, gradient: gradient, into: qkvGradient)
                sink.add(index, qkvGradient)
            }
        }
    }
}
