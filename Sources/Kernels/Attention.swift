import CKernels

/// Causal grouped-query attention over fused projections, with rotary positions applied on the way.
///
/// Rows of `qkv` are [heads·d | kvHeads·d | kvHeads·d]. No [seq, seq] matrix is made: blocks with online softmax
/// forward, recomputed from the log-sum-exp backward (Dao et al. 2022, FlashAttention).
public struct AttentionKernel: Sendable {
    /// Sequences.
    public var batch: Int
    /// Positions in each.
    public var seq: Int
    /// Query heads.
    public var heads: Int
    /// Key and value heads; divides `heads`.
    public var kvHeads: Int
    /// Width of a head.
    public var headDim: Int
    /// Factor on the scores, 1/√headDim as a rule.
    public var scale: Float
    /// Rotation of queries and keys; nil for none.
    public var rotary: RotaryTable?
    /// For each row the first position of its sequence it may attend to, [batch, seq]; nil for 0.
    public var keyStarts: [Int32]?

    /// The kernel for sequences of one length; a `scale` of nil is 1/√headDim.
    ///
    /// Preconditions: `kvHeads` divides `heads`, `keyStarts` is [batch, seq], and `rotary` has this `headDim` and at least
    /// `seq` positions.
    public init(
        batch: Int, seq: Int, heads: Int, kvHeads: Int, headDim: Int, scale: Float? = nil, rotary: RotaryTable? = nil,
        keyStarts: [Int32]? = nil
    ) {
        precondition(heads % kvHeads == 0, "attention: \(heads) heads cannot share \(kvHeads) KV heads")
        precondition(keyStarts.map { $0.count == batch * seq } ?? true, "attention: keyStarts is not [\(batch), \(seq)]")
        if let rotary {
            precondition(rotary.headDim == headDim, "attention: rotary of head dim \(rotary.headDim) for \(headDim)")
            precondition(rotary.positions >= seq, "attention: \(seq) positions, the rotary table has \(rotary.positions)")
        }
        self.batch = batch
        self.seq = seq
        self.heads = heads
        self.kvHeads = kvHeads
        self.headDim = headDim
        self.scale = scale ?? 1 / Float(headDim).squareRoot()
        self.rotary = rotary
        self.keyStarts = keyStarts
    }

    /// Elements in a row of `qkv`.
    public var rowWidth: Int { (heads + 2 * kvHeads) * headDim }

    /// Writes output [batch, seq, heads·d] and log-sum-exp [batch, heads, seq].
    public func forward(qkv: Storage, into output: Storage, logSumExp: Storage) {
        precondition(
            qkv.count == batch * seq * rowWidth && output.count == batch * seq * heads * headDim
                && logSumExp.count == batch * heads * seq, "attention: storages don't fit \(self)")
        unsafe run(backward: false) { job in
            unsafe job.qkv = UnsafePointer(qkv.pointer)
            unsafe job.output = output.pointer
            unsafe job.logSumExp = logSumExp.pointer
        }
    }

    /// Writes the gradient of `qkv`, which may take its place, from the gradient of the output.
    public func backward(qkv: Storage, output: Storage, logSumExp: Storage, gradient: Storage, into qkvGradient: Storage) {
        precondition(
            qkv.count == batch * seq * rowWidth && qkvGradient.count == qkv.count && gradient.count == output.count
                && output.count == batch * seq * heads * headDim, "attention: storages don't fit \(self)")
        unsafe run(backward: true) { job in
            unsafe job.qkv = UnsafePointer(qkv.pointer)
            unsafe job.output = output.pointer
            unsafe job.logSumExp = logSumExp.pointer
            unsafe job.gradient = UnsafePointer(gradient.pointer)
            unsafe job.qkvGradient = qkvGradient.pointer
        }
    }

    private func run(backward: Bool, operands: (inout kk_attention) -> Void) {
        var job = unsafe kk_attention()
        unsafe job.seq = Int64(seq)
        unsafe job.heads = Int64(heads)
        unsafe job.kvHeads = Int64(kvHeads)
        unsafe job.headDim = Int64(headDim)
        unsafe job.scale = scale
        if let rotary { unsafe job.rotary = rotary.packed }
        unsafe operands(&job)
        let scratchCount = Int(kk_attention_scratch(Int64(seq), Int64(headDim), backward ? 1 : 0))
        unsafe withOptionalPointer(to: keyStarts) { keyStart in
            unsafe job.keyStart = keyStart
            nonisolated(unsafe) let job = unsafe job
            Parallel.forEach(batch * kvHeads, scratch: [scratchCount]) { unit in
                let scratch = Storage(count: scratchCount)
                unsafe withUnsafePointer(to: job) { job in
                    let (sequence, head) = (Int64(unit / kvHeads), Int64(unit % kvHeads))
                    if backward {
                        unsafe kernels.attention_gradient(job, sequence, head, scratch.pointer)
                    } else {
                        unsafe kernels.attention(job, sequence, head, scratch.pointer)
                    }
                }
            }
        }
    }
}

/// Calls `body` with a pointer to the array's elements, nil for no array.
func withOptionalPointer<Result>(to array: [Int32]?, _ body: (UnsafePointer<Int32>?) -> Result) -> Result {
    guard let array else { return body(nil) }
    return unsafe array.withUnsafeBufferPointer { unsafe body($0.baseAddress) }
}
