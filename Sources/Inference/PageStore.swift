import Kernels

/// Pages with their memory, for several models' caches at once.
///
/// An object, as the caches share it; whoever runs them (one engine) keeps it to itself.
public final class PageStore {
    /// Who holds what.
    public var pool: PagePool
    /// The pages themselves.
    public let memory: PageMemory

    /// As many pages of `pageBytes` as fit into `bytes`, with `guarantees` for the models; throws ``InferenceError`` where that
    /// is none, more than the system has, or less than the guarantees.
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

    /// Throws ``InferenceError/pageSize(_:)`` where pages of so many bytes cannot be: 64 and its
    /// multiples up to ``largestPage`` can.
    public static func check(pageBytes: Int) throws(InferenceError) {
        guard pageBytes > 0, pageBytes % 64 == 0, pageBytes <= largestPage else { throw .pageSize(pageBytes) }
    }

    /// Bytes of the largest page: more than any layer's longest sequence here takes, and no product of it overflows.
    public static let largestPage = 1 << 30

    /// Bytes of a page.
    public var pageBytes: Int { memory.pageBytes }
}
