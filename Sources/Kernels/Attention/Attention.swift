import CKernels
import Glibc
import Threads

/// Causal grouped-query attention over fused projections, with rotary positions applied in the kernel.
///
/// Rows of `qkv` are [heads·d | kvHeads·d | kvHeads·valueDim]. No [seq, seq] matrix is materialised: the forward pass is an
/// online softmax over blocks, the backward pass recomputes scores from the log-sum-exp (Dao et al. 2022, FlashAttention).
public struct AttentionKernel: Sendable {
    /// Sequences.
    public var batch: Int
    /// Positions in each.
    public var seq: Int
    /// Query heads.
    public var heads: Int
    /// Key and value heads; divides `heads`.
    public var kvHeads: Int
    /// Width of a query's and a key's head.
    public var headDim: Int
    /// Width of a value's head.
    public var valueDim: Int
    /// Factor on the scores, 1/√headDim as a rule.
    public var scale: Float
    /// Rotation of queries and keys; nil for none. A table narrower than a head rotates the elements from `rotaryStart` on.
    public var rotary: RotaryTable?
    /// Where in a head the rotated elements begin.
    public var rotaryStart: Int
    /// The first position of its sequence that each row may attend to, [batch, seq]; nil for 0.
    public var keyStarts: [Int32]?
    /// Attention sinks: first positions that every row sees even before `keyStarts` (Xiao et al. 2023).
    public var sinks = 0
    /// The first sink of each row, [batch, seq]; nil for 0.
    public var sinkStarts: [Int32]?
    /// The first row of its sequence that sees each key, [batch, kvHeads, seq]; nil for the key's own.
    public var rowStarts: [Int32]?
    /// The first row that no longer sees each key, which a cache has evicted by then, [batch, kvHeads, seq]; nil for none.
    public var rowEnds: [Int32]?

    /// The kernel for sequences of one length; a `scale` of nil is 1/√headDim, a `valueDim` of nil is `headDim`.
    ///
    /// Preconditions: `kvHeads` divides `heads`, `keyStarts` is [batch, seq], and `rotary` fits into a head and has at least
    /// `seq` positions.
    public init(
        batch: Int, seq: Int, heads: Int, kvHeads: Int, headDim: Int, valueDim: Int? = nil, scale: Float? = nil,
        rotary: RotaryTable? = nil, rotaryStart: Int = 0, keyStarts: [Int32]? = nil
    ) {
        precondition(heads % kvHeads == 0, "attention: \(heads) heads cannot share \(kvHeads) KV heads")
        precondition(keyStarts.map { $0.count == batch * seq } ?? true, "attention: keyStarts is not [\(batch), \(seq)]")
        if let rotary {
            precondition(
                rotaryStart >= 0 && rotaryStart + rotary.headDim <= headDim,
                "attention: rotary of \(rotary.headDim) elements from \(rotaryStart) on for heads of \(headDim)")
            precondition(rotary.positions >= seq, "attention: \(seq) positions, the rotary table has \(rotary.positions)")
        }
        self.batch = batch
        self.seq = seq
        self.heads = heads
        self.kvHeads = kvHeads
        self.headDim = headDim
        self.valueDim = valueDim ?? headDim
        self.scale = scale ?? 1 / Float(headDim).squareRoot()
        self.rotary = rotary
        self.rotaryStart = rotaryStart
        self.keyStarts = keyStarts
    }

    /// Whether rows and outputs are as `other`'s.
    public func hasShape(of other: AttentionKernel) -> Bool {
        (batch, seq, heads, kvHeads, headDim, valueDim) == (
            other.batch, other.seq, other.heads, other.kvHeads, other.headDim, other.valueDim
        )
    }

    /// Elements in a row of `qkv`.
    public var rowWidth: Int { (heads + kvHeads) * headDim + kvHeads * valueDim }

    /// Elements in a row of the output.
    public var outputWidth: Int { heads * valueDim }

    /// Writes output [batch, seq, heads·valueDim] and log-sum-exp [batch, heads, seq]; zeros and −∞ for a row that sees no key.
    public func forward(qkv: Storage, into output: Storage, logSumExp: Storage) {
        precondition(
            qkv.count == batch * seq * rowWidth && output.count == batch * seq * outputWidth
                && logSumExp.count == batch * heads * seq, "attention: storages don't fit \(self)")
        unsafe run(backward: false) { job in
            unsafe job.qkv = UnsafePointer(qkv.pointer)
            unsafe job.output = output.pointer
            unsafe job.logSumExp = logSumExp.pointer
        }
    }

    /// Writes the gradient of `qkv`, which may overwrite `qkv` itself, from the gradient of the output.
    ///
    /// Where rows attend to keys of several calls, `output` and `logSumExp` are the merged ones of ``merge(_:into:logSumExp:)``; each
    /// call's gradient is then that of the attention to all keys.
    public func backward(qkv: Storage, output: Storage, logSumExp: Storage, gradient: Storage, into qkvGradient: Storage) {
        precondition(
            qkv.count == batch * seq * rowWidth && qkvGradient.count == qkv.count && gradient.count == output.count
                && output.count == batch * seq * outputWidth, "attention: storages don't fit \(self)")
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
        unsafe job.valueDim = Int64(valueDim)
        unsafe job.sinks = Int64(keyStarts == nil ? 0 : sinks)
        unsafe job.scale = scale
        precondition(
            sinks >= 0 && (sinkStarts.map { $0.count == batch * seq } ?? true), "attention: sinkStarts is not [\(batch), \(seq)]")
        precondition(
            [rowStarts, rowEnds].allSatisfy { $0.map { $0.count == batch * kvHeads * seq } ?? true },
            "attention: rowStarts or rowEnds is not [\(batch), \(kvHeads), \(seq)]")
        if let rotary { unsafe job.rotary = rotary.packed(start: rotaryStart) }
        unsafe operands(&job)
        let scratchCount = Int(kk_attention_scratch(Int64(seq), Int64(headDim), Int64(valueDim), backward ? 1 : 0))
        unsafe withOptionalPointers(to: [keyStarts, sinkStarts, rowStarts, rowEnds]) { pointers in
            unsafe job.keyStart = pointers[0]
            unsafe job.sinkStart = pointers[1]
            unsafe job.rowStart = pointers[2]
            unsafe job.rowEnd = pointers[3]
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

extension AttentionKernel {
    /// Merges attentions of the same rows to different keys by their log-sum-exp, as if each row had attended to all of them at once:
    /// outputs [batch, seq, heads·valueDim] and log-sum-exps [batch, heads, seq].
    public func merge(_ parts: [(output: Storage, logSumExp: Storage)], into output: Storage, logSumExp: Storage) {
        let (outputs, sums) = (parts.map(\.output), parts.map(\.logSumExp))
        precondition(
            (outputs + [output]).allSatisfy { $0.count == batch * seq * outputWidth }
                && (sums + [logSumExp]).allSatisfy { $0.count == batch * heads * seq }, "attention: storages don't fit \(self)")
        Parallel.forRanges(batch * seq, grain: max(1, Elementwise.grain / max(outputWidth, 1))) { rows in
            for row in rows {
                for head in 0..<heads {
                    let (index, first) = ((row / seq * heads + head) * seq + row % seq, (row * heads + head) * valueDim)
                    let top = sums.reduce(-Float.infinity) { unsafe max($0, $1.pointer[index]) }
                    // A row that sees no key of any part.
                    let total = top == -.infinity ? 1 : sums.reduce(0) { unsafe $0 + exp($1.pointer[index] - top) }
                    unsafe logSumExp.pointer[index] = top + log(total)
                    for element in first..<first + valueDim { unsafe output.pointer[element] = 0 }
                    for (part, sum) in zip(outputs, sums) where unsafe sum.pointer[index] > -.infinity {
                        let weight = unsafe exp(sum.pointer[index] - top) / total
                        for element in first..<first + valueDim {
                            unsafe output.pointer[element] += weight * part.pointer[element]
                        }
                    }
                }
            }
        }
    }
}

/// Calls `body` with pointers to the arrays' elements, nil for no array.
private func withOptionalPointers(
    to arrays: [[Int32]?], _ found: [UnsafePointer<Int32>?] = unsafe [], _ body: ([UnsafePointer<Int32>?]) -> Void
) {
    guard unsafe found.count < arrays.count else { return unsafe body(found) }
    guard let next = unsafe arrays[found.count] else { return unsafe withOptionalPointers(to: arrays, found + [nil], body) }
    unsafe next.withUnsafeBufferPointer { unsafe withOptionalPointers(to: arrays, found + [$0.baseAddress], body) }
}
