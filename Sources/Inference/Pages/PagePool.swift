/// The page allocator: reference counts, a free list, and for each model a guarantee that no other model can take.
///
/// A value without memory or I/O. A page is free or referenced, never both; its owner is the model it was allocated for.
///
///     12 pages, model 0 is guaranteed 4, model 1 none:
///     model 1 may take 8 while model 0 holds none; as model 0 takes its 4, that limit stays; beyond them both compete
public struct PagePool: Sendable {
    /// Pages in all.
    public let pages: Int
    /// The page counts alone.
    public private(set) var ledger: PageLedger
    private var free: [Int32]
    private var counts: [Int32]
    private var owners: [Int32]

    /// `pages` free pages, and one model for each of `guarantees`, the pages that model can always have.
    ///
    /// Precondition: the guarantees add up to at most `pages`.
    public init(pages: Int, guarantees: [Int] = [0]) {
        precondition(
            pages >= 0 && guarantees.allSatisfy { $0 >= 0 } && guarantees.reduce(0, +) <= pages,
            "PagePool: guarantees \(guarantees) of \(pages) pages")
        self.pages = pages
        ledger = PageLedger(free: pages, guarantees: guarantees, used: [Int](repeating: 0, count: guarantees.count))
        free = (0..<Int32(pages)).reversed()
        counts = [Int32](repeating: 0, count: pages)
        owners = [Int32](repeating: -1, count: pages)
    }

    /// Pages without a holder.
    public var freeCount: Int { ledger.free }

    /// The reference count of `page`; 0 where it is free.
    public func count(of page: Int32) -> Int { Int(counts[Int(page)]) }

    /// The model `page` was allocated for; nil where it is free.
    public func owner(of page: Int32) -> Int? { owners[Int(page)] < 0 ? nil : Int(owners[Int(page)]) }

    /// Allocates `count` pages for `model`, each with one holder; nil, and nothing changed, where it cannot have that many.
    public mutating func allocate(_ count: Int, for model: Int) -> [Int32]? {
        guard ledger.take(count, for: model) else { return nil }
        let taken = Array(free.suffix(count).reversed())
        free.removeLast(count)
        for page in taken {
            counts[Int(page)] = 1
            owners[Int(page)] = Int32(model)
        }
        return taken
    }

    /// Adds a holder to an allocated page.
    public mutating func retain(_ page: Int32) {
        precondition(counts[Int(page)] > 0, "PagePool: page \(page) is free, it cannot be shared")
        counts[Int(page)] += 1
    }

    /// Removes a holder of a page; true where that freed the page.
    @discardableResult
    public mutating func release(_ page: Int32) -> Bool {
        precondition(counts[Int(page)] > 0, "PagePool: page \(page) is free already")
        counts[Int(page)] -= 1
        guard counts[Int(page)] == 0 else { return false }
        ledger.give(1, of: Int(owners[Int(page)]))
        owners[Int(page)] = -1
        free.append(page)
        return true
    }

    /// A fault in the page accounting, or nil: every page is free or referenced, never both, and each model's count is right.
    public func inconsistency() -> String? {
        var isFree = [Bool](repeating: false, count: pages)
        for page in free {
            guard !isFree[Int(page)] else { return "page \(page) is free twice" }
            isFree[Int(page)] = true
        }
        var held = [Int](repeating: 0, count: ledger.used.count)
        for page in 0..<pages {
            guard counts[page] >= 0 else { return "page \(page) is held \(counts[page]) times" }
            guard isFree[page] == (counts[page] == 0) else { return "page \(page) is free and held \(counts[page]) times" }
            guard isFree[page] == (owners[page] < 0) else { return "page \(page) is free or not, its owner is \(owners[page])" }
            if owners[page] >= 0 { held[Int(owners[page])] += 1 }
        }
        guard free.count == ledger.free else { return "\(free.count) pages are free, the books say \(ledger.free)" }
        return held == ledger.used ? nil : "models hold \(held) pages, the books say \(ledger.used)"
    }
}
