import Glibc

/// Pages of one size, reserved once and addressed by number: where paged caches keep keys and values.
///
/// Which page is whose is not known here. By rule only the owner of a page writes it, and nobody reads what was not written.
@safe public final class PageMemory: @unchecked Sendable {
    // Sendable: plain memory; the caches' bookkeeping gives each page to one writer at a time.

    /// Bytes of a page.
    public let pageBytes: Int
    /// Pages, numbered from 0.
    public let pages: Int
    let base: UnsafeMutablePointer<UInt8>

    /// Reserves `pages` pages of `pageBytes`, a multiple of 64; nil where the system has no room for them.
    ///
    /// Pages take physical memory when they are first written.
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
        check(source)
        check(target)
        unsafe (base + Int(target) * pageBytes).update(from: base + Int(source) * pageBytes, count: pageBytes)
    }

    /// A page's bytes, copied out.
    public func bytes(of page: Int32) -> [UInt8] {
        check(page)
        return unsafe [UInt8](UnsafeBufferPointer(start: base + Int(page) * pageBytes, count: pageBytes))
    }

    /// Overwrites a page with `bytes`, exactly a page of them.
    public func write(_ bytes: ArraySlice<UInt8>, to page: Int32) {
        check(page)
        precondition(bytes.count == pageBytes, "PageMemory: \(bytes.count) bytes for a page of \(pageBytes)")
        unsafe bytes.withUnsafeBufferPointer { source in
            guard let start = source.baseAddress else { return }
            unsafe (base + Int(page) * pageBytes).update(from: start, count: pageBytes)
        }
    }

    /// Copies one head's key and value from slot `source` of the pages `old` to slot `target` of the pages `new`, as they are stored.
    public func copySlot(
        _ layout: PagedLayout, head: Int, from source: Int, of old: [Int32], to target: Int, of new: [Int32]
    ) {
        let size = layout.tokensPerPage
        let (from, to) = (old[source / size], new[target / size])
        check(from)
        check(to)
        precondition(layout.pageBytes == pageBytes && head < layout.kvHeads, "PageMemory: a layout of other pages")
        func copy(_ offset: (_ head: Int, _ slot: Int) -> Int, bytes: Int) {
            unsafe (base + Int(to) * pageBytes + offset(head, target % size)).update(
                from: base + Int(from) * pageBytes + offset(head, source % size), count: bytes)
        }
        copy(layout.keyOffset, bytes: layout.keyBytes)
        if !layout.valuesAreKeys { copy(layout.valueOffset, bytes: layout.valueBytes) }
    }

    private func check(_ page: Int32) {
        precondition(page >= 0 && Int(page) < pages, "PageMemory: page \(page) outside 0..<\(pages)")
    }
}
