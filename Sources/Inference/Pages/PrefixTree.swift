/// The prefix cache: pages of prompts' beginnings, as a tree over blocks of token ids (Ye et al. 2024, ChunkAttention).
///
/// A block is matched by its tokens themselves, not by a hash of them. Unused blocks stay until their pages are needed and are
/// evicted in least recently used order, children before their parents. Each salt has a tree of its own, so that one tenant
/// cannot find out, by timing, the prompts of another.
///
///     blocks of 2:   [5 9] ─ [4 4] ─ [7 1]
///                          └ [3 8]            5 9 3 8 6 finds two blocks, four tokens
///
/// Where layers have windows, only sequences that end shortly behind a block need its pages of these layers (window pages).
/// Window pages are idle once the windows of all the block's users have passed it. They are evicted in that order while the block
/// itself stays, and are replenished by the next sequence that computes the block again. A prompt matches blocks only as far as
/// the window pages it needs are present.
///
/// A value without page memory: it returns the pages to retain or release, and the caller does so.
public struct PrefixTree: Sendable {
    /// Tokens of a block.
    public let blockTokens: Int
    private let tokensPerPage: [Int]
    /// The windows of the layers that have one.
    private let windows: [WindowRetention?]
    /// The widest window; 0 where no layer has one.
    private let widest: Int

    /// The pages of a block that are evicted together.
    private enum Part: CaseIterable, Sendable {
        /// Pages evicted with the block.
        case block
        /// Window pages.
        case windows
    }

    /// The users of a part of a block.
    private struct Use: Sendable {
        var users = 0
        var last: Int
    }

    private struct Node: Sendable {
        var parent: Int?
        var salt: String
        /// Blocks before it.
        var depth: Int
        var tokens: [Int32]
        var children: [[Int32]: Int] = [:]
        /// The pages of its tokens, by layer; ``BlockTable/freed`` stands in for an evicted window page.
        var pages: [[Int32]]
        var block: Use
        /// The users whose windows reach the block.
        var windows: Use

        subscript(_ part: Part) -> Use {
            get { part == .block ? block : windows }
            set { if part == .block { block = newValue } else { windows = newValue } }
        }
    }

    /// The number of blocks with tokens in a page (at most two), and the number of these in use.
    private struct PageUse: Sendable, Equatable {
        var blocks = 0
        var used = 0
    }

    private var roots: [String: [[Int32]: Int]] = [:]
    private var nodes: [Int: Node] = [:]
    private var nextNode = 0
    private var pageUses: [Int32: PageUse] = [:]
    /// Unused blocks, and blocks whose window pages are unused, each in the order of their last use.
    ///
    /// A path is released from its end, and a user of a block uses all blocks before it: so the oldest unused block has no
    /// children.
    private var unused: [Part: UseOrder] = [.block: UseOrder(), .windows: UseOrder()]
    /// Pages held only for unused blocks, or as window pages that all windows have passed, each counted once.
    public private(set) var idlePages = 0

    /// An empty tree for the prompts of `cache`.
    init(_ cache: PagedKVCache) {
        self.init(
            tokensPerPage: cache.layouts.map(\.tokensPerPage), windows: cache.windows,
            encodedTogether: cache.layouts.map(\.encoding.blockTokens).max() ?? 1)
    }

    /// An empty tree for layers with `tokensPerPage` tokens a page each, and with `windows`.
    ///
    /// Blocks are as long as the longest page, or a little longer where some layer has whole multiples of `encodedTogether` alone.
    init(tokensPerPage: [Int], windows: [WindowRetention?], encodedTogether: Int = 1) {
        self.tokensPerPage = tokensPerPage
        self.windows = windows
        widest = windows.reduce(0) { max($0, $1?.window ?? 0) }
        blockTokens = ((tokensPerPage.max() ?? 1) + encodedTogether - 1) / encodedTogether * encodedTogether
    }

    /// Blocks held.
    public var count: Int { nodes.count }

    /// The pages of all blocks; a page of two blocks appears twice.
    public var allPages: [Int32] { nodes.keys.flatMap { pages(of: $0) } }

    /// The last use of the next part to be evicted; nil where everything is in use.
    public var oldestUse: Int? { Part.allCases.compactMap { oldest($0)?.lastUse }.min() }

    /// The block whose `part` is evicted next, and its last use; nil where all are in use.
    private func oldest(_ part: Part) -> (id: Int, lastUse: Int)? {
        unused[part]?.oldest.flatMap { id in nodes[id].map { (id, $0[part].last) } }
    }

    /// Tokens of `path` in blocks that other sequences use too.
    public func tokensShared(of path: PrefixPath) -> Int { blockTokens * path.blocks.count { (nodes[$0]?.block.users ?? 0) > 1 } }

    /// Pages that become idle when the user of `path` leaves.
    public func pagesLeft(by path: PrefixPath) -> Int {
        var leaving: [Int32: Int] = [:]
        for (index, id) in path.blocks.enumerated() {
            guard let node = nodes[id] else { continue }
            for part in Part.allCases where node[part].users == 1 && (part == .block || index >= path.windowStart) {
                for page in pages(of: id, part) { leaving[page, default: 0] += 1 }
            }
        }
        return leaving.count { pageUses[$0.key]?.used == $0.value }
    }

    /// The longest cached prefix of `tokens`, without their last token, which has to be computed.
    public func match(_ tokens: [Int32], salt: String) -> PrefixPath {
        var path = PrefixPath()
        var children = roots[salt] ?? [:]
        while (path.count + 1) * blockTokens < tokens.count {
            let block = Array(tokens[path.count * blockTokens..<(path.count + 1) * blockTokens])
            guard let next = children[block] else { break }
            path.blocks.append(next)
            children = nodes[next]?.children ?? [:]
        }
        while !hasWindowPages(path) { path.blocks.removeLast() }
        path.windowStart = windowStart(path, tokens: path.count * blockTokens)
        return path
    }

    /// Whether all window pages that the next token needs are present.
    private func hasWindowPages(_ path: PrefixPath) -> Bool {
        let tokens = path.count * blockTokens
        guard widest > 0, tokens > 0 else { return true }
        return windows.indices.allSatisfy { layer in
            guard let window = windows[layer] else { return true }
            let size = tokensPerPage[layer]
            return (max(0, window.first(after: tokens)) / size..<(tokens + size - 1) / size).allSatisfy { page in
                // The last block with tokens in the page has every token of the path that lies in it.
                let index = min(path.count - 1, ((page + 1) * size - 1) / blockTokens)
                return nodes[path.blocks[index]]?.pages[layer][page - index * blockTokens / size] != BlockTable.freed
            }
        }
    }

    /// The first block of `path` in reach of a window behind `tokens`.
    private func windowStart(_ path: PrefixPath, tokens: Int) -> Int {
        widest == 0 ? path.count : min(path.count, max(0, tokens - widest + 1) / blockTokens)
    }

    /// The block table of a path.
    public func table(of path: PrefixPath) -> BlockTable {
        var table = BlockTable(layers: tokensPerPage.count)
        for (index, id) in path.blocks.enumerated() {
            guard let node = nodes[id] else { continue }
            for layer in tokensPerPage.indices {
                // A page that begins in the block before has that block's tokens in this block's copy too.
                let first = index * blockTokens / tokensPerPage[layer]
                table.pages[layer].removeLast(table.pages[layer].count - first)
                for (offset, page) in node.pages[layer].enumerated() {
                    let isPassed = index < path.windowStart && isInWindow(first + offset, layer)
                    table.pages[layer].append(isPassed ? BlockTable.freed : page)
                }
            }
        }
        table.tokens = path.count * blockTokens
        return table
    }

    /// Adds a user to every block of a path, at a `moment` not before any other.
    public mutating func use(_ path: PrefixPath, at moment: Int) {
        for (index, id) in path.blocks.enumerated() {
            use(id, .block, at: moment)
            if index >= path.windowStart { use(id, .windows, at: moment) }
        }
    }

    /// Adds a user to a part of a block.
    private mutating func use(_ id: Int, _ part: Part, at moment: Int) {
        guard part == .block || widest > 0, let users = nodes[id]?[part].users else { return }
        if users == 0 {
            unused[part]?.remove(id)
            for page in pages(of: id, part) { enter(page) }
        }
        nodes[id]?[part] = Use(users: users + 1, last: moment)
    }

    /// Removes the user that ``use(_:at:)`` added.
    public mutating func leave(_ path: PrefixPath, at moment: Int) {
        for (index, id) in path.blocks.enumerated().reversed() {
            if index >= path.windowStart { leave(id, .windows, at: moment) }
            leave(id, .block, at: moment)
        }
    }

    /// Removes a user from a part of a block.
    private mutating func leave(_ id: Int, _ part: Part, at moment: Int) {
        guard part == .block || widest > 0, let users = nodes[id]?[part].users else { return }
        precondition(users > 0, "PrefixTree: the \(part) part of block \(id) is left once more than it was used")
        nodes[id]?[part] = Use(users: users - 1, last: moment)
        let pages = pages(of: id, part)
        guard users == 1, part == .block || !pages.isEmpty else { return }
        unused[part]?.append(id)
        for page in pages { exit(page) }
    }

    /// Advances the path of a user to `tokens`: it stops using the window pages of blocks that its windows have passed.
    public mutating func advance(_ path: PrefixPath, to tokens: Int, at moment: Int) -> PrefixPath {
        var path = path
        let start = max(path.windowStart, windowStart(path, tokens: tokens))
        for id in path.blocks[path.windowStart..<start] { leave(id, .windows, at: moment) }
        path.windowStart = start
        return path
    }

    /// Whether a page can fall behind its layer's window.
    private func isInWindow(_ page: Int, _ layer: Int) -> Bool {
        windows[layer].map { !$0.isSink(page, size: tokensPerPage[layer]) } ?? false
    }

    /// The pages of a part of a block; all pages where `part` is nil.
    private func pages(of id: Int, _ part: Part? = nil) -> [Int32] {
        guard let node = nodes[id] else { return [] }
        if widest == 0 { return part == .windows ? [] : node.pages.flatMap { $0 } }
        return node.pages.indices.flatMap { layer in
            let first = node.depth * blockTokens / tokensPerPage[layer]
            return node.pages[layer].enumerated().compactMap { offset, page in
                let isChosen = part.map { ($0 == .windows) == isInWindow(first + offset, layer) } ?? true
                return page != BlockTable.freed && isChosen ? page : nil
            }
        }
    }

    private mutating func enter(_ page: Int32) {
        if pageUses[page]?.used == 0 { idlePages -= 1 }
        pageUses[page]?.used += 1
    }

    private mutating func exit(_ page: Int32) {
        pageUses[page]?.used -= 1
        if pageUses[page]?.used == 0 { idlePages += 1 }
    }

    /// Counts a page as held by one more block in use.
    private mutating func hold(_ page: Int32) {
        if pageUses[page]?.used == 0 { idlePages -= 1 }
        pageUses[page, default: PageUse()].blocks += 1
        pageUses[page]?.used += 1
    }

    /// Counts a page as held by one unused block fewer.
    private mutating func drop(_ page: Int32) {
        pageUses[page]?.blocks -= 1
        guard pageUses[page]?.blocks == 0 else { return }
        pageUses[page] = nil
        idlePages -= 1
    }

    /// Inserts the whole blocks of `tokens` [0, tokens.count) behind `path`, which the sequence uses already, from its block
    /// table, and replenishes window pages of blocks without them.
    ///
    /// Returns the longer path, with the sequence as a user of its new blocks, and the pages the caller has to retain. All new
    /// blocks are in reach of the windows until ``advance(_:to:at:)``.
    public mutating func insert(
        _ tokens: [Int32], salt: String, table: BlockTable, behind path: PrefixPath, at moment: Int
    ) -> (path: PrefixPath, held: [Int32]) {
        var path = path
        var held: [Int32] = []
        while (path.count + 1) * blockTokens <= tokens.count {
            let start = path.count * blockTokens
            let block = Array(tokens[start..<start + blockTokens])
            let siblings = path.blocks.last.map { nodes[$0]?.children ?? [:] } ?? roots[salt] ?? [:]
            let pages = tokensPerPage.indices.map { layer in
                let size = tokensPerPage[layer]
                return Array(table.pages[layer][start / size..<(start + blockTokens + size - 1) / size])
            }
            if let known = siblings[block] {
                for part in Part.allCases { use(known, part, at: moment) }
                if widest > 0 { held += replenish(known, from: pages) }
                path.blocks.append(known)
                continue
            }
            let id = nextNode
            nextNode += 1
            nodes[id] = Node(
                parent: path.blocks.last, salt: salt, depth: path.count, tokens: block, pages: pages,
                block: Use(users: 1, last: moment), windows: Use(users: widest > 0 ? 1 : 0, last: moment))
            let new = self.pages(of: id)
            for page in new { hold(page) }
            if let parent = path.blocks.last {
                nodes[parent]?.children[block] = id
            } else {
                roots[salt, default: [:]][block] = id
            }
            held += new
            path.blocks.append(id)
        }
        if widest == 0 { path.windowStart = path.count }
        return (path, held)
    }

    /// Replenishes the missing window pages of a block from `pages`; returns the pages to retain.
    private mutating func replenish(_ id: Int, from pages: [[Int32]]) -> [Int32] {
        var held: [Int32] = []
        for (layer, pages) in pages.enumerated() {
            for (offset, page) in pages.enumerated()
            where page != BlockTable.freed && nodes[id]?.pages[layer][offset] == BlockTable.freed {
                nodes[id]?.pages[layer][offset] = page
                hold(page)
                held.append(page)
            }
        }
        return held
    }

    /// Evicts the least recently used part, a block or a block's window pages, and returns the pages to release; nil where
    /// everything is in use.
    ///
    /// O(1) in the number of blocks.
    public mutating func evict() -> [Int32]? {
        let block = oldest(.block)
        if let windows = oldest(.windows), windows.lastUse <= block?.lastUse ?? .max { return removeWindows(windows.id) }
        return block.map { remove($0.id) }
    }

    private mutating func removeWindows(_ id: Int) -> [Int32] {
        unused[.windows]?.remove(id)
        let pages = pages(of: id, .windows)
        for page in pages { drop(page) }
        let first = tokensPerPage.map { (nodes[id]?.depth ?? 0) * blockTokens / $0 }
        for layer in tokensPerPage.indices {
            for offset in nodes[id]?.pages[layer].indices ?? 0..<0 where isInWindow(first[layer] + offset, layer) {
                nodes[id]?.pages[layer][offset] = BlockTable.freed
            }
        }
        return pages
    }

    /// Removes the unused blocks of `path` and all their descendants; returns the pages to release.
    public mutating func remove(unused path: PrefixPath) -> [Int32] {
        guard let first = path.blocks.first(where: { nodes[$0]?.block.users == 0 }) else { return [] }
        // Descendants are unused too: their users would use this block.
        var found = [first]
        var next = 0
        while next < found.count {
            found += (nodes[found[next]]?.children.values).map { $0.sorted() } ?? []
            next += 1
        }
        return found.reversed().flatMap { remove($0) }
    }

    private mutating func remove(_ id: Int) -> [Int32] {
        let pages = pages(of: id)
        guard let node = nodes.removeValue(forKey: id) else { return [] }
        precondition(
            Part.allCases.allSatisfy { node[$0].users == 0 } && node.children.isEmpty, "PrefixTree: block \(id) is in use")
        for part in Part.allCases { unused[part]?.remove(id) }
        if let parent = node.parent {
            nodes[parent]?.children[node.tokens] = nil
        } else {
            roots[node.salt]?[node.tokens] = nil
            if roots[node.salt]?.isEmpty == true { roots[node.salt] = nil }
        }
        for page in pages { drop(page) }
        return pages
    }

    /// A fault in the tree's accounting, or nil: the blocks and uses of each page, the idle pages, and the order of eviction by
    /// last use.
    func inconsistency() -> String? {
        var uses: [Int32: PageUse] = [:]
        for (id, node) in nodes {
            for page in pages(of: id) { uses[page, default: PageUse()].blocks += 1 }
            for part in Part.allCases {
                let (users, pages) = (node[part].users, pages(of: id, part))
                if users > 0 { for page in pages { uses[page]?.used += 1 } }
                guard (users == 0 && (part == .block || !pages.isEmpty)) == unused[part]?.contains(id) else {
                    return "the \(part) part of block \(id) has \(users) users"
                }
            }
            if node.windows.users > node.block.users { return "block \(id) is reached by more windows than it has users" }
        }
        if uses != pageUses { return "pages are counted otherwise than they are used" }
        let idle = uses.values.count { $0.used == 0 }
        if idle != idlePages { return "\(idlePages) pages count as idle, of \(idle)" }
        for (part, order) in unused {
            let times = order.all.map { nodes[$0]?[part].last ?? 0 }
            guard times == times.sorted() else { return "what leaves next is not what was used first" }
        }
        return nil
    }
}
