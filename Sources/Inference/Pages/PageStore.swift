import Kernels

/// Page allocator and page memory, shared by several models' caches.
///
/// A class, as the caches share it; its one user (an engine) keeps it to itself.
public final class PageStore {
    /// The page allocator.
    public var pool: PagePool
    /// The pages' memory.
    public let memory: PageMemory

    /// As many pages of `pageBytes` as fit into `bytes`, with the models' `guarantees`; throws ``InferenceError`` where that is
    /// no page, more than the system's memory, or fewer than the guarantees.
    public init(bytes: Int, pageBytes: Int, guarantees: [Int] = [0]) throws(InferenceError) {
        try Self.check(pageBytes: pageBytes)
        let pages = bytes / pageBytes
        guard pages > 0, pages <= Int(Int32.max) else { throw .memory(bytes: bytes, pageBytes: pageBytes) }
        guard guarantees.reduce(0, +) <= pages else { throw .guarantees(guarantees, pages: pages) }
        guard let memory = PageMemory(pages: pages, pageBytes: pageBytes) else {
            throw .memory(bytes: bytes, pageBytes: pageBytes)
        }
        self.memory = memory
        pool = PagePool(pages: pages, guarantees: guarantees)
    }

    /// Throws ``InferenceError/pageSize(_:)`` unless `pageBytes` is a positive multiple of 64, at most ``largestPage``.
    public static func check(pageBytes: Int) throws(InferenceError) {
        guard pageBytes > 0, pageBytes % 64 == 0, pageBytes <= largestPage else { throw .pageSize(pageBytes) }
    }

    /// The largest page in bytes: above the longest sequence of any layer here, and no product of it overflows.
    public static let largestPage = 1 << 30

    /// Bytes of a page.
    public var pageBytes: Int { memory.pageBytes }
}
