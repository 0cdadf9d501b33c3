/// Who holds which pages: reference counts, a free list, and for each model a share that no other can take.
///
/// A value without memory or I/O. A page is free or counted, never both; a page's owner is the model it was allocated for.
///
///     12 pages, model 0 is guaranteed 4, model 1 none:
///     model 1 may take 8 while model 0 holds none; as model 0 takes its 4, that limit stays; beyond them both compete
public struct PagePool: Sendable {
    /// Pages in all.
    public let pages: Int
    private let guarantees: [Int]
    private var free: [Int32]
    private var counts: [Int32]
    private var owners: [Int32]
    private var used: [Int]

    /// `pages` free pages for as many models as there are `guarantees`, the pages each can always have.
    ///
    /// Precondition: the guarantees add up to no more than there are.
    public init(pages: Int, guarantees: [Int] = [0]) {
        precondition(
            pages >= 0 && guarantees.allSatisfy { $0 >= 0 } && guarantees.reduce(0, +) <= pages,
            "PagePool: guarantees \(guarantees) of \(pages) pages")
        self.pages = pages
        self.guarantees = guarantees
        free = (0..<Int32(pages)).reversed()
        counts = [Int32](repeating: 0, count: pages)
        owners = [Int32](repeating: -1, count: pages)
        used = [Int](repeating: 0, count: guarantees.count)
    }

    /// Models that share the pool.
    public var models: Int { guarantees.count }

    /// Pages `model` can always have.
    public func guarantee(of model: Int) -> Int { guarantees[model] }

    /// Pages nobody holds.
    public var freeCount: Int { free.count }

    /// Pages held that were allocated for `model`.
    public func used(by model: Int) -> Int { used[model] }

    /// Holders of `page`; 0 where it is free.
    public func count(of page: Int32) -> Int { Int(counts[Int(page)]) }

    /// The model `page` was allocated for; nil where it is free.
    public func owner(of page: Int32) -> Int? { owners[Int(page)] < 0 ? nil : Int(owners[Int(page)]) }

    /// The pages `model` can have now: the free ones, less what is kept for the others' guarantees.
    public func available(to model: Int) -> Int {
        var kept = 0
        for other in guarantees.indices where other != model { kept += max(0, guarantees[other] - used[other]) }
        return max(0, free.count - kept)
    }

    /// The most pages `model` could ever hold, with every other model at its guarantee.
    public func limit(of model: Int) -> Int {
        pages - guarantees.indices.reduce(0) { $1 == model ? $0 : $0 + guarantees[$1] }
    }

    /// `count` pages for `model`, held once each; nil, and nothing changed, where there are not enough.
    public mutating func allocate(_ count: Int, for model: Int) -> [Int32]? {
        guard count <= available(to: model) else { return nil }
        let taken = Array(free.suffix(count).reversed())
        free.removeLast(count)
        for page in taken {
            counts[Int(page)] = 1
            owners[Int(page)] = Int32(model)
        }
        used[model] += count
        return taken
    }

    /// Adds a holder to a page that is held.
    public mutating func retain(_ page: Int32) {
        precondition(counts[Int(page)] > 0, "PagePool: page \(page) is free, it cannot be shared")
        counts[Int(page)] += 1
    }

    /// Takes a holder away, and says whether that freed the page.
    @discardableResult
    public mutating func release(_ page: Int32) -> Bool {
        precondition(counts[Int(page)] > 0, "PagePool: page \(page) is free already")
        counts[Int(page)] -= 1
        guard counts[Int(page)] == 0 else { return false }
        used[Int(owners[Int(page)])] -= 1
        owners[Int(page)] = -1
        free.append(page)
        return true
    }

    /// What is wrong with the books, or nil: every page free or counted, never both, and each model's count true.
    public func inconsistency() -> String? {
        var isFree = [Bool](repeating: false, count: pages)
        for page in free {
            guard !isFree[Int(page)] else { return "page \(page) is free twice" }
            isFree[Int(page)] = true
        }
        var held = [Int](repeating: 0, count: used.count)
        for page in 0..<pages {
            guard counts[page] >= 0 else { return "page \(page) is held \(counts[page]) times" }
            guard isFree[page] == (counts[page] == 0) else { return "page \(page) is free and held \(counts[page]) times" }
            guard isFree[page] == (owners[page] < 0) else { return "page \(page) is free or not, its owner is \(owners[page])" }
            if owners[page] >= 0 { held[Int(owners[page])] += 1 }
        }
        return held == used ? nil : "models hold \(held) pages, the books say \(used)"
    }
}
