/// Prompts' beginnings whose keys and values are in pages, as a tree over blocks of token ids (Ye et al. 2024, ChunkAttention).
///
/// A block is found by its very tokens, not by a hash of them. Blocks that nobody uses stay until pages are wanted; the one
/// unused longest leaves first, children before their parents. Each salt has a tree of its own, so that one tenant cannot find
/// out, by timing, what another has asked.
///
///     blocks of 2:   [5 9] ─ [4 4] ─ [7 1]
///                          └ [3 8]            5 9 3 8 6 finds two blocks, four tokens
///
/// A value without pages' memory: it says which pages to hold or let go of, and the caller does.
public struct PrefixTree: Sendable {
    /// Tokens of a block.
    public let blockTokens: Int
    private let tokensPerPage: [Int]

    private struct Node: Sendable {
        var parent: Int?
        var salt: String
        var tokens: [Int32]
        var children: [[Int32]: Int] = [:]
        /// For each layer the pages its tokens lie in.
        var pages: [[Int32]]
        var users = 0
        var lastUse: Int
        /// Its neighbours among the blocks nobody uses.
        var older: Int?
        var newer: Int?
    }

    /// A page's blocks, of which it may have two, and those of them that are in use.
    private struct PageUse: Sendable {
        var blocks = 0
        var used = 0
    }

    private var roots: [String: [[Int32]: Int]] = [:]
    private var nodes: [Int: Node] = [:]
    private var nextNode = 0
    private var pageUses: [Int32: PageUse] = [:]
    /// Ends of the list of blocks that nobody uses, in the order of their last use. A path is entered from its end, and who uses
    /// a block uses those before it: so the oldest never has children.
    private var oldest: Int?
    private var newest: Int?
    /// Pages held for blocks that nobody uses now, each counted once.
    public private(set) var idlePages = 0

    /// An empty tree for layers that hold `tokensPerPage` each.
    public init(tokensPerPage: [Int]) {
        self.tokensPerPage = tokensPerPage
        blockTokens = tokensPerPage.max() ?? 1
    }

    /// Blocks held.
    public var count: Int { nodes.count }

    /// Every page held, as often as it is held.
    public var allPages: [Int32] { nodes.values.flatMap { $0.pages.flatMap { $0 } } }

    /// When the block that leaves next was used last; nil where every block is in use.
    public var oldestUse: Int? { oldest.flatMap { nodes[$0]?.lastUse } }

    /// Tokens of `path` in blocks that others use too.
    public func tokensShared(of path: [Int]) -> Int { blockTokens * path.count { (nodes[$0]?.users ?? 0) > 1 } }

    /// Pages that nobody uses any more once a user of `path` has left.
    public func pagesLeft(by path: [Int]) -> Int {
        var leaving: [Int32: Int] = [:]
        for id in path where nodes[id]?.users == 1 {
            for page in pages(of: id) { leaving[page, default: 0] += 1 }
        }
        return leaving.count { pageUses[$0.key]?.used == $0.value }
    }

    /// The blocks that `tokens` begin with, from the first on; at most all but the last token, which has to be computed.
    public func match(_ tokens: [Int32], salt: String) -> [Int] {
        var path: [Int] = []
        var children = roots[salt] ?? [:]
        while (path.count + 1) * blockTokens < tokens.count {
            let block = Array(tokens[path.count * blockTokens..<(path.count + 1) * blockTokens])
            guard let next = children[block] else { break }
            path.append(next)
            children = nodes[next]?.children ?? [:]
        }
        return path
    }

    /// The pages of a path of blocks, as a sequence's table.
    public func table(of path: [Int]) -> BlockTable {
        var table = BlockTable(layers: tokensPerPage.count)
        for (index, id) in path.enumerated() {
            guard let node = nodes[id] else { continue }
            for layer in tokensPerPage.indices {
                // A page that reaches into this block holds what the block before had in its copy of it.
                let first = index * blockTokens / tokensPerPage[layer]
                table.pages[layer].removeLast(table.pages[layer].count - first)
                table.pages[layer] += node.pages[layer]
            }
        }
        table.tokens = path.count * blockTokens
        return table
    }

    /// Marks a path as used by one more sequence, at a `moment` not before any other.
    public mutating func use(_ path: [Int], at moment: Int) {
        for id in path {
            guard let users = nodes[id]?.users else { continue }
            if users == 0 {
                unlink(id)
                enter(id)
            }
            nodes[id]?.users = users + 1
            nodes[id]?.lastUse = moment
        }
    }

    /// Takes the mark of ``use(_:at:)`` away.
    public mutating func leave(_ path: [Int], at moment: Int) {
        for id in path.reversed() {
            guard let users = nodes[id]?.users else { continue }
            precondition(users > 0, "PrefixTree: block \(id) is left once more than it was used")
            nodes[id]?.users = users - 1
            nodes[id]?.lastUse = moment
            guard users == 1 else { continue }
            append(id)
            for page in pages(of: id) {
                pageUses[page]?.used -= 1
                if pageUses[page]?.used == 0 { idlePages += 1 }
            }
        }
    }

    private func pages(of id: Int) -> [Int32] { nodes[id]?.pages.flatMap { $0 } ?? [] }

    /// Counts a block's pages as in use.
    private mutating func enter(_ id: Int) {
        for page in pages(of: id) {
            if pageUses[page]?.used == 0 { idlePages -= 1 }
            pageUses[page]?.used += 1
        }
    }

    private mutating func append(_ id: Int) {
        nodes[id]?.older = newest
        nodes[id]?.newer = nil
        if let newest { nodes[newest]?.newer = id } else { oldest = id }
        newest = id
    }

    private mutating func unlink(_ id: Int) {
        guard let (older, newer) = nodes[id].map({ ($0.older, $0.newer) }) else { return }
        if let older { nodes[older]?.newer = newer } else { oldest = newer }
        if let newer { nodes[newer]?.older = older } else { newest = older }
        nodes[id]?.older = nil
        nodes[id]?.newer = nil
    }

    /// Adds the whole blocks of `tokens` [0, tokens.count) behind `path`, which the sequence uses already, from its table.
    ///
    /// Gives the longer path, marked as used for what is new in it, and the pages the caller has to hold for new blocks.
    public mutating func insert(
        _ tokens: [Int32], salt: String, table: BlockTable, behind path: [Int], at moment: Int
    ) -> (path: [Int], held: [Int32]) {
        var path = path
        var held: [Int32] = []
        while (path.count + 1) * blockTokens <= tokens.count {
            let start = path.count * blockTokens
            let block = Array(tokens[start..<start + blockTokens])
            let siblings = path.last.map { nodes[$0]?.children ?? [:] } ?? roots[salt] ?? [:]
            if let known = siblings[block] {
                use([known], at: moment)
                path.append(known)
                continue
            }
            let pages = tokensPerPage.indices.map { layer in
                let size = tokensPerPage[layer]
                return Array(table.pages[layer][start / size..<(start + blockTokens + size - 1) / size])
            }
            let id = nextNode
            nextNode += 1
            nodes[id] = Node(parent: path.last, salt: salt, tokens: block, pages: pages, users: 1, lastUse: moment)
            for page in pages.joined() {
                if let known = pageUses[page], known.used == 0 { idlePages -= 1 }
                pageUses[page, default: PageUse()].blocks += 1
                pageUses[page]?.used += 1
            }
            if let parent = path.last { nodes[parent]?.children[block] = id } else { roots[salt, default: [:]][block] = id }
            held += pages.flatMap { $0 }
            path.append(id)
        }
        return (path, held)
    }

    /// Removes the block unused longest, and gives the pages to let go of; nil where every block is in use.
    ///
    /// Takes the time of one block, however many there are.
    public mutating func evict() -> [Int32]? { oldest.map { remove($0) } }

    /// Removes what nobody uses of `path`, with all behind it, and gives the pages to let go of.
    public mutating func remove(unused path: [Int]) -> [Int32] {
        guard let first = path.first(where: { nodes[$0]?.users == 0 }) else { return [] }
        // Who used a block behind it would use it too.
        var found = [first]
        var next = 0
        while next < found.count {
            found += (nodes[found[next]]?.children.values).map { $0.sorted() } ?? []
            next += 1
        }
        return found.reversed().flatMap { remove($0) }
    }

    private mutating func remove(_ id: Int) -> [Int32] {
        unlink(id)
        guard let node = nodes.removeValue(forKey: id) else { return [] }
        precondition(node.users == 0 && node.children.isEmpty, "PrefixTree: block \(id) is in use")
        if let parent = node.parent {
            nodes[parent]?.children[node.tokens] = nil
        } else {
            roots[node.salt]?[node.tokens] = nil
            if roots[node.salt]?.isEmpty == true { roots[node.salt] = nil }
        }
        let pages = node.pages.flatMap { $0 }
        for page in pages {
            pageUses[page]?.blocks -= 1
            guard pageUses[page]?.blocks == 0 else { continue }
            pageUses[page] = nil
            idlePages -= 1
        }
        return pages
    }
}
