import CKernels
import Threads

/// The portable path of paged attention, for codecs without a kernel: encodes and decodes here, a range of tokens at a time.
extension PagedAttentionKernel {
    /// Encodes the keys and values of qkv [rows, rowWidth] into their slots.
    func encode(_ qkv: Storage, _ batch: PagedBatch, _ memory: PageMemory) {
        let codec = layout.encoding.codec
        let keys = heads * layout.keyDim
        let values = keys + layout.kvHeads * layout.keyDim
        Parallel.forRanges(batch.rows, grain: max(1, 1 << 12 / max(1, rowWidth - keys))) { range in
            for row in range {
                let position = Int(batch.limits[row]) - 1
                let slot = position % layout.tokensPerPage
                let page = batch.tables[batch.firstPage[batch.sequenceOf[row]] + position / layout.tokensPerPage]
                let start = unsafe memory.base + Int(page) * layout.pageBytes
                func encode(_ column: Int, dim: Int, at offset: Int, bytes: Int) {
                    let vector = unsafe Span<Float>(_unsafeStart: qkv.pointer + row * rowWidth + column, count: dim)
                    var target = unsafe MutableRawSpan(_unsafeStart: start + offset, byteCount: bytes)
                    codec.encode(vector, into: &target)
                }
                for head in 0..<layout.kvHeads {
                    encode(
                        keys + head * layout.keyDim, dim: layout.keyDim, at: layout.keyOffset(head: head, slot: slot),
                        bytes: layout.keyBytes)
                    guard !layout.valuesAreKeys else { continue }
                    encode(
                        values + head * layout.valueDim, dim: layout.valueDim, at: layout.valueOffset(head: head, slot: slot),
                        bytes: layout.valueBytes)
                }
            }
        }
    }

    /// Runs `body` on a job that the kernels read: the job itself or, where the codec has no kernel, a job over `tokens` of heads
    /// `kvHeads` decoded to Float32 for the duration of the call.
    ///
    /// The kernels and their order are the same: attention over codes equals attention over decoded values bit for bit, where
    /// rows are planned alike.
    func decoding(
        _ job: inout kk_paged_attention, _ tokens: Range<Int>, kvHeads: Range<Int>, _ body: (inout kk_paged_attention) -> Void
    ) {
        let codec = layout.encoding.codec
        guard codec.kernel == nil, !tokens.isEmpty else { return unsafe body(&job) }
        // Decoded pages of a span each, the first of which holds the range's first token.
        let floats = layout.kvHeads * (layout.keyDim + (layout.valuesAreKeys ? 0 : layout.valueDim)) * Self.span
        guard
            let decoded = PagedLayout(
                kvHeads: layout.kvHeads, keyDim: layout.keyDim, valueDim: layout.valueDim, valuesAreKeys: layout.valuesAreKeys,
                encoding: .float32, pageBytes: 4 * floats)
        else { return }
        let (first, last) = (tokens.lowerBound / Self.span, (tokens.upperBound - 1) / Self.span)
        let scratch = Storage(count: (last - first + 1) * floats)
        let source = unsafe job.cache
        for token in tokens {
            let page = unsafe Int(source.pages[token / layout.tokensPerPage])
            // A page behind the window.
            guard page >= 0 else { continue }
            let bytes = unsafe source.memory + page * layout.pageBytes
            let target = unsafe scratch.pointer + (token / Self.span - first) * floats
            let (slot, place) = (token % layout.tokensPerPage, token % Self.span)
            for head in kvHeads {
                unsafe decode(
                    bytes + layout.keyOffset(head: head, slot: slot), layout.keyBytes,
                    into: target + decoded.keyOffset(head: head, slot: place) / 4, layout.keyDim)
                guard !layout.valuesAreKeys else { continue }
                unsafe decode(
                    bytes + layout.valueOffset(head: head, slot: slot), layout.valueBytes,
                    into: target + decoded.valueOffset(head: head, slot: place) / 4, layout.valueDim)
            }
        }
        let pages = (0...Int32(last)).map { $0 - Int32(first) }
        unsafe pages.withUnsafeBufferPointer { pages in
            guard let table = pages.baseAddress else { return }
            let memory = unsafe UnsafeMutableRawPointer(scratch.pointer).assumingMemoryBound(to: UInt8.self)
            unsafe job.cache = decoded.job(memory, pages: table)
            unsafe body(&job)
            unsafe job.cache = source
        }
    }

    private func decode(
        _ bytes: UnsafeMutablePointer<UInt8>, _ byteCount: Int, into vector: UnsafeMutablePointer<Float>, _ dim: Int
    ) {
        let source = unsafe RawSpan(_unsafeStart: bytes, byteCount: byteCount)
        var target = unsafe MutableSpan(_unsafeStart: vector, count: dim)
        layout.encoding.codec.decode(source, into: &target)
    }
}
