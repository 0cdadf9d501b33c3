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
        var lastUse = 0
    }

    private var roots: [String: [[Int32]: Int]] = [:]
    private var nodes: [Int: Node] = [:]
    private var nextNode = 0
    private var clock = 0
    /// Pages held for blocks that nobody uses now; a page that two blocks overlap counts for both.
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

    /// Marks a path as used by one more sequence.
    public mutating func use(_ path: [Int]) {
        clock += 1
        for id in path {
            guard var node = nodes[id] else { continue }
            if node.users == 0 { idlePages -= node.pages.reduce(0) { $0 + $1.count } }
            node.users += 1
            node.lastUse = clock
            nodes[id] = node
        }
    }

    /// Takes the mark of ``use(_:)`` away.
    public mutating func leave(_ path: [Int]) {
        clock += 1
        for id in path {
            guard var node = nodes[id] else { continue }
            node.users -= 1
            node.lastUse = clock
            if node.users == 0 { idlePages += node.pages.reduce(0) { $0 + $1.count } }
            nodes[id] = node
        }
    }

    /// Adds the whole blocks of `tokens` [0, tokens.count) behind `path`, which the sequence uses already, from its table.
    ///
    /// Gives the longer path, marked as used for what is new in it, and the pages the caller has to hold for new blocks.
    public mutating func insert(
        _ tokens: [Int32], salt: String, table: BlockTable, behind path: [Int]
    ) -> (path: [Int], held: [Int32]) {
        var path = path
        var held: [Int32] = []
        while (path.count + 1) * blockTokens <= tokens.count {
            let start = path.count * blockTokens
            let block = Array(tokens[start..<start + blockTokens])
            let siblings = path.last.map { nodes[$0]?.children ?? [:] } ?? roots[salt] ?? [:]
            if let known = siblings[block] {
                use([known])
                path.append(known)
                continue
            }
            let pages = tokensPerPage.indices.map { layer in
                let size = tokensPerPage[layer]
                return Array(table.pages[layer][start / size..<(start + blockTokens + size - 1) / size])
            }
            let id = nextNode
            nextNode += 1
            clock += 1
            nodes[id] = Node(parent: path.last, salt: salt, tokens: block, pages: pages, users: 1, lastUse: clock)
            if let parent = path.last { nodes[parent]?.children[block] = id } else { roots[salt, default: [:]][block] = id }
            held += pages.flatMap { $0 }
            path.append(id)
        }
        return (path, held)
    }

    /// Removes the block unused longest, and gives the pages to let go of; nil where every block is in use.
    public mutating func evict() -> [Int32]? {
        let idle = nodes.filter { $0.value.users == 0 && $0.value.children.isEmpty }
        guard let (id, node) = idle.min(by: { ($0.value.lastUse, $0.key) < ($1.value.lastUse, $1.key) }) else { return nil }
        nodes[id] = nil
        if let parent = node.parent {
            nodes[parent]?.children[node.tokens] = nil
        } else {
            roots[node.salt]?[node.tokens] = nil
            if roots[node.salt]?.isEmpty == true { roots[node.salt] = nil }
        }
        let pages = node.pages.flatMap { $0 }
        idlePages -= pages.count
        return pages
    }
}
