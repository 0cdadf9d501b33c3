import CKernels
import Threads

/// The portable path of paged attention, for codecs without a kernel: encodes and decodes here, a range of tokens at a time.
extension PagedAttentionKernel {
    /// Encodes the keys and values of qkv [rows, rowWidth] into their slots.
    func encode(_ qkv: Storage, _ batch: PagedBatch, _ memory: PageMemory) {
        let keys = heads * layout.keyDim
        let values = keys + layout.kvHeads * layout.keyDim
        Parallel.forRanges(batch.rows, grain: max(1, 1 << 12 / max(1, rowWidth - keys))) { range in
            for row in range {
                let (position, number) = (Int(batch.limits[row]) - 1, Int(batch.numbers[row]))
                let slot = position % layout.tokensPerPage
                let page = batch.tables[batch.firstPage[batch.sequenceOf[row]] + position / layout.tokensPerPage]
                let start = unsafe memory.base + Int(page) * layout.pageBytes
                for head in 0..<layout.kvHeads {
                    let key = unsafe qkv.pointer + number * rowWidth + keys + head * layout.keyDim
                    for vector in layout.keyVectors(head: head, slot: slot) { unsafe vector.encode(key, into: start) }
                    let value = unsafe qkv.pointer + number * rowWidth + values + head * layout.valueDim
                    for vector in layout.valueVectors(head: head, slot: slot) { unsafe vector.encode(value, into: start) }
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
        guard !layout.encoding.isReadInPlace, !tokens.isEmpty else { return unsafe body(&job) }
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
        var token = tokens.lowerBound
        while token < tokens.upperBound {
            // The slots of one page, decoded to one page.
            let (slot, place) = (token % layout.tokensPerPage, token % Self.span)
            let count = min(layout.tokensPerPage - slot, Self.span - place, tokens.upperBound - token)
            let page = unsafe Int(source.pages[token / layout.tokensPerPage])
            let target = unsafe scratch.pointer + (token / Self.span - first) * floats
            token += count
            // A page behind the window.
            guard page >= 0 else { continue }
            let bytes = unsafe source.memory + page * layout.pageBytes
            for head in kvHeads {
                let key = unsafe target + decoded.keyOffset(head: head, slot: place) / 4
                unsafe layout.decodeKeys(head: head, slot..<slot + count, from: bytes, into: key)
                let value = unsafe target + decoded.valueOffset(head: head, slot: place) / 4
                unsafe layout.decodeValues(head: head, slot..<slot + count, from: bytes, into: value)
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
}
