import Glibc
import Threads

/// The memory of the pages: reserved once, of one size, addressed by page number.
///
/// Page ownership is tracked elsewhere. By rule only the owner of a page writes it, and unwritten memory is never read.
@safe public final class PageMemory: @unchecked Sendable {
    // Sendable: plain memory; page ownership gives each page one writer at a time.

    /// Bytes of a page.
    public let pageBytes: Int
    /// Pages, numbered from 0.
    public let pages: Int
    let base: UnsafeMutablePointer<UInt8>

    /// Reserves `pages` pages of `pageBytes`, a multiple of 64; nil where the system refuses.
    ///
    /// A page takes physical memory with its first write.
    public init?(pages: Int, pageBytes: Int) {
        precondition(pages > 0 && pageBytes > 0 && pageBytes % 64 == 0, "PageMemory: \(pages) pages of \(pageBytes) bytes")
        let (bytes, overflow) = pages.multipliedReportingOverflow(by: pageBytes)
        guard !overflow else { return nil }
        let mapped = unsafe mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else { return nil }
        unsafe madvise(mapped, bytes, Int32(MADV_HUGEPAGE))
        self.pageBytes = pageBytes
        self.pages = pages
        unsafe base = mapped.assumingMemoryBound(to: UInt8.self)
    }

    deinit { unsafe munmap(base, pages * pageBytes) }

    /// Copies a page's bytes into another.
    public func copy(from source: Int32, to target: Int32) {
        unsafe start(of: target).update(from: start(of: source), count: pageBytes)
    }

    /// A copy of a page's bytes.
    public func bytes(of page: Int32) -> [UInt8] {
        unsafe [UInt8](UnsafeBufferPointer(start: start(of: page), count: pageBytes))
    }

    /// Overwrites a page with `bytes`, exactly one page of them.
    public func write(_ bytes: ArraySlice<UInt8>, to page: Int32) {
        precondition(bytes.count == pageBytes, "PageMemory: \(bytes.count) bytes for a page of \(pageBytes)")
        unsafe bytes.withUnsafeBufferPointer { source in
            if let bytes = source.baseAddress { unsafe start(of: page).update(from: bytes, count: pageBytes) }
        }
    }

    /// Copies one head's stored key and value from slot `source` of pages `old` to slot `target` of pages `new`.
    public func copySlot(
        _ layout: PagedLayout, head: Int, from source: Int, of old: [Int32], to target: Int, of new: [Int32]
    ) {
        let size = layout.tokensPerPage
        let (from, to) = unsafe (start(of: old[source / size]), start(of: new[target / size]))
        precondition(layout.pageBytes == pageBytes && head < layout.kvHeads, "PageMemory: a layout of other pages")
        precondition(layout.encoding.blockTokens == 1, "PageMemory: a slot of \(layout.encoding.name) is not encoded by itself")
        func copy(_ offset: (_ head: Int, _ slot: Int) -> Int, bytes: Int) {
            unsafe (to + offset(head, target % size)).update(from: from + offset(head, source % size), count: bytes)
        }
        copy(layout.keyOffset, bytes: layout.keyBytes)
        copy(layout.valueOffset, bytes: layout.valueBytes)
        copy(layout.keyScaleOffset, bytes: layout.keyScaleBytes)
        copy(layout.valueScaleOffset, bytes: layout.valueScaleBytes)
    }

    /// Encodes one head's value of a slot of `pages` anew.
    public func storeValue(_ value: [Float], _ layout: PagedLayout, head: Int, slot: Int, of pages: [Int32]) {
        let page = unsafe start(of: pages[slot / layout.tokensPerPage])
        precondition(
            layout.pageBytes == pageBytes && head < layout.kvHeads && value.count == layout.valueDim,
            "PageMemory: a layout of other pages, or a value of \(value.count) elements for \(layout.valueDim)")
        precondition(
            layout.encoding.blockTokens == 1 && !layout.valuesAreKeys,
            "PageMemory: a value of \(layout.encoding.name) is not stored by itself")
        var value = value
        unsafe value.withUnsafeMutableBufferPointer { value in
            guard let elements = value.baseAddress else { return }
            for vectors in layout.valueVectors(head: head, slot: slot % layout.tokensPerPage) {
                unsafe vectors.encode(elements, into: page)
            }
        }
    }

    /// The parts of a slot.
    public enum SlotPart: Sendable {
        case key, value
    }

    /// The decoded keys or values of one head in the first `slots` slots of `pages`: [slots, dim].
    public func vectors(_ layout: PagedLayout, _ part: SlotPart, head: Int, slots: Int, of pages: [Int32]) -> [Float] {
        precondition(layout.pageBytes == pageBytes && head < layout.kvHeads, "PageMemory: a layout of other pages")
        let size = layout.tokensPerPage
        // A value that is the beginning of its key is not stored again.
        let isKey = part == .key || layout.valuesAreKeys
        let dim = part == .key ? layout.keyDim : layout.valueDim
        var result: [Float] = []
        result.reserveCapacity(slots * dim)
        var elements = [Float](repeating: 0, count: max(layout.keyDim, layout.valueDim))
        for slot in 0..<slots {
            let page = unsafe start(of: pages[slot / size])
            unsafe elements.withUnsafeMutableBufferPointer { elements in
                guard let start = elements.baseAddress else { return }
                let slots = slot % size..<slot % size + 1
                if isKey {
                    unsafe layout.decodeKeys(head: head, slots, from: page, into: start)
                } else {
                    unsafe layout.decodeValues(head: head, slots, from: page, into: start)
                }
            }
            result += elements[..<dim]
        }
        return result
    }

    /// Encodes a block of tokens, in the slots from `slot` on of `pages` in the layout `open`, into the slots from `target` on of
    /// `page`: as many as `layout` encodes together.
    public func seal(
        _ open: PagedLayout, from slot: Int, of pages: [Int32], to layout: PagedLayout, _ page: Int32, at target: Int
    ) {
        let tokens = layout.encoding.blockTokens
        precondition(
            open.pageBytes == pageBytes && layout.pageBytes == pageBytes && target % tokens == 0
                && target + tokens <= layout.tokensPerPage && slot + tokens <= pages.count * open.tokensPerPage,
            "PageMemory: \(tokens) tokens from slot \(slot) of \(pages.count) pages don't fit slot \(target)")
        Parallel.forEach(layout.kvHeads) { head in
            let (keys, values) = (Storage(count: tokens * layout.keyDim), Storage(count: tokens * layout.valueDim))
            for token in 0..<tokens {
                let (index, place) = ((slot + token) / open.tokensPerPage, (slot + token) % open.tokensPerPage)
                let source = unsafe start(of: pages[index])
                unsafe open.decodeKeys(head: head, place..<place + 1, from: source, into: keys.pointer + token * layout.keyDim)
                unsafe open.decodeValues(
                    head: head, place..<place + 1, from: source, into: values.pointer + token * layout.valueDim)
            }
            let sealed = unsafe start(of: page)
            for token in stride(from: 0, to: tokens, by: layout.encoding.keys.blockTokens) {
                for vectors in layout.keyVectors(head: head, slot: target + token) {
                    unsafe vectors.encode(keys.pointer + token * layout.keyDim, pitch: layout.keyDim, into: sealed)
                }
            }
            for token in stride(from: 0, to: tokens, by: layout.encoding.values.blockTokens) {
                for vectors in layout.valueVectors(head: head, slot: target + token) {
                    unsafe vectors.encode(values.pointer + token * layout.valueDim, pitch: layout.valueDim, into: sealed)
                }
            }
        }
    }

    /// The first byte of a page, which has to be one of these.
    private func start(of page: Int32) -> UnsafeMutablePointer<UInt8> {
        precondition(page >= 0 && Int(page) < pages, "PageMemory: page \(page) outside 0..<\(pages)")
        return unsafe base + Int(page) * pageBytes
    }
}
