import Random
import Testing

@testable import Inference

extension PrefixTree {
    /// An empty tree for layers with `tokensPerPage` tokens a page each, without windows.
    init(tokensPerPage: [Int]) { self.init(tokensPerPage: tokensPerPage, windows: tokensPerPage.map { _ in nil }) }
}

@Suite struct PrefixTreeTests {
    /// A table of pages numbered from `first`, for layers that hold so many tokens a page.
    private func table(_ tokens: Int, _ sizes: [Int], from first: Int32 = 0) -> BlockTable {
        var table = BlockTable(layers: sizes.count)
        var next = first
        for (layer, size) in sizes.enumerated() {
            for _ in 0..<(tokens + size - 1) / size {
                table.pages[layer].append(next)
                next += 1
            }
        }
        table.tokens = tokens
        return table
    }

    @Test func `a prompt finds the blocks it begins with, all but its last token, in its own salt's tree`() {
        var tree = PrefixTree(tokensPerPage: [2, 2])
        let (path, held) = tree.insert([5, 9, 4, 4, 7], salt: "a", table: table(5, [2, 2]), behind: PrefixPath(), at: 1)
        #expect(path.count == 2 && held == [0, 3, 1, 4] && tree.idlePages == 0)
        #expect(tree.match([5, 9, 4, 4, 8], salt: "a") == path)
        #expect(tree.match([5, 9, 4, 4], salt: "a").blocks == [path.blocks[0]])
        #expect(tree.match([5, 9, 4, 5, 8], salt: "a").blocks == [path.blocks[0]])
        #expect(tree.match([5, 9, 4, 4, 8], salt: "b").isEmpty)
        let found = tree.table(of: path)
        #expect(found.pages == [[0, 1], [3, 4]] && found.tokens == 4)
    }

    @Test func `the block unused longest leaves first, children before their parents`() {
        var tree = PrefixTree(tokensPerPage: [1])
        let (first, _) = tree.insert([1, 2], salt: "", table: table(2, [1]), behind: PrefixPath(), at: 1)
        let (second, _) = tree.insert([1, 3], salt: "", table: table(2, [1], from: 10), behind: PrefixPath(), at: 2)
        let (third, _) = tree.insert([4], salt: "", table: table(1, [1], from: 20), behind: PrefixPath(), at: 3)
        let none = tree.evict()
        #expect(tree.count == 4 && none == nil && tree.oldestUse == nil)
        tree.leave(first, at: 4)
        #expect(tree.idlePages == 1)
        tree.leave(third, at: 5)
        tree.leave(second, at: 6)
        #expect(tree.idlePages == 4 && tree.oldestUse == 4)
        tree.use(first, at: 7)
        #expect(tree.idlePages == 2)
        tree.leave(first, at: 8)
        let evicted = (0..<5).map { _ in tree.evict() }
        #expect(evicted == [[20], [11], [1], [0], nil] && tree.count == 0 && tree.idlePages == 0)
    }

    @Test func `a page that two blocks overlap comes free with the second of them`() {
        // Blocks of three tokens: the second layer's middle page has the end of one and the beginning of the next.
        //     layer 0   0 0 0 | 1 1 1        layer 1   2 2 3 | 3 4 4
        var tree = PrefixTree(tokensPerPage: [3, 2])
        let (path, held) = tree.insert([1, 2, 3, 4, 5, 6], salt: "", table: table(6, [3, 2]), behind: PrefixPath(), at: 1)
        #expect(held == [0, 2, 3, 1, 3, 4])
        #expect(
            tree.table(of: path).pages == [[0, 1], [2, 3, 4]]
                && tree.table(of: PrefixPath([path.blocks[0]])).pages == [[0], [2, 3]])
        #expect(tree.pagesLeft(by: path) == 5)
        tree.use(PrefixPath([path.blocks[0]]), at: 2)
        #expect(tree.pagesLeft(by: path) == 2 && tree.tokensShared(of: path) == 3)
        tree.leave(path, at: 3)
        #expect(tree.idlePages == 2)
        let second = tree.evict()
        #expect(second == [1, 3, 4] && tree.idlePages == 0)
        tree.leave(PrefixPath([path.blocks[0]]), at: 4)
        #expect(tree.idlePages == 3)
        let first = tree.evict()
        #expect(first == [0, 2, 3] && tree.idlePages == 0)
    }

    @Test func `pages behind every window leave before their blocks, and come back with who computes them again`() {
        // Blocks of two tokens; the second layer's next token sees two tokens before it, and the first of all.
        //     layer 0   0 0 | 1 1 | 2 2 | 3 3        layer 1   4 4 | 5 5 | 6 6 | 7 7
        let text: [Int32] = [1, 2, 3, 4, 5, 6, 7, 8]
        var tree = PrefixTree(tokensPerPage: [2, 2], windows: [nil, WindowRetention(window: 3, sinks: 1)])
        var (path, held) = tree.insert(text, salt: "", table: table(8, [2, 2]), behind: PrefixPath(), at: 1)
        #expect(held.count == 8 && tree.idlePages == 0 && tree.oldestUse == nil)
        path = tree.advance(path, to: 8, at: 2)
        // The sinks' page stays, and what is seen from behind the last block.
        #expect(tree.idlePages == 2 && tree.oldestUse == 2)
        // Who shares six tokens sees the last two of these and the sinks.
        let shared = tree.match(text.prefix(6) + [9], salt: "")
        #expect(shared.blocks == Array(path.blocks.prefix(3)) && shared.windowStart == 2)
        #expect(tree.table(of: shared).pages == [[0, 1, 2], [4, BlockTable.freed, 6]])
        tree.use(shared, at: 3)
        #expect(tree.idlePages == 1)
        let first = tree.evict()
        #expect(first == [5] && tree.idlePages == 0 && tree.oldestUse == nil)
        tree.leave(shared, at: 4)
        #expect(tree.idlePages == 1)
        // Four tokens are not taken up without the window's page, six still are.
        #expect(tree.match(text.prefix(4) + [9], salt: "").count == 1)
        #expect(tree.match(text.prefix(6) + [9], salt: "").count == 3)
        let second = tree.evict()
        #expect(second == [6] && tree.match(text + [9], salt: "").count == 4 && tree.match(text, salt: "").count == 1)
        // Another computes the same: what it has of the window is taken on, the rest it keeps to itself.
        var (other, new) = tree.insert(text, salt: "", table: table(8, [2, 2], from: 10), behind: PrefixPath(), at: 5)
        #expect(other.blocks == path.blocks && new == [15, 16] && tree.inconsistency() == nil)
        other = tree.advance(other, to: 8, at: 6)
        #expect(tree.match(text, salt: "").count == 3 && tree.idlePages == 2)
        tree.leave(other, at: 7)
        tree.leave(path, at: 8)
        #expect(tree.idlePages == 8 && tree.inconsistency() == nil)
        var left: Set<Int32> = []
        while let pages = tree.evict() { left.formUnion(pages) }
        #expect(left == [0, 1, 2, 3, 4, 15, 16, 7] && tree.count == 0 && tree.idlePages == 0)
    }

    @Test func `what is given up goes with all behind it, but for what others use`() {
        var tree = PrefixTree(tokensPerPage: [1])
        let (path, _) = tree.insert([1, 2, 3], salt: "", table: table(3, [1]), behind: PrefixPath(), at: 1)
        let (other, _) = tree.insert([1, 2, 9], salt: "", table: table(3, [1], from: 10), behind: PrefixPath(), at: 2)
        tree.use(PrefixPath([path.blocks[0]]), at: 3)
        tree.leave(path, at: 4)
        var removed = tree.remove(unused: path)
        #expect(removed == [2])
        tree.leave(other, at: 5)
        removed = tree.remove(unused: path)
        #expect(removed == [12, 1])
        #expect(tree.count == 1 && tree.idlePages == 0)
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>) func `blocks leave as in a tree that looks through all of them`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        func draw(_ limit: Int) -> Int { Int(random.uniform() * Double(limit)) }
        var tree = PrefixTree(tokensPerPage: [1])
        // The model: each block's tokens from the root on, its users and the last use.
        var blocks: [[Int32]: (users: Int, last: Int, page: Int32)] = [:]
        var users: [(path: PrefixPath, tokens: [Int32])] = []
        var page: Int32 = 0
        for moment in 1...20_000 {
            switch draw(5) {
            case 0, 1:
                let tokens = (0..<1 + draw(5)).map { _ in Int32(draw(3)) }
                let (path, _) = tree.insert(
                    tokens, salt: "", table: table(tokens.count, [1], from: page), behind: PrefixPath(), at: moment)
                for end in 1...tokens.count {
                    let key = Array(tokens.prefix(end))
                    blocks[key, default: (0, 0, page + Int32(end) - 1)].users += 1
                    blocks[key]?.last = moment
                }
                page += Int32(tokens.count)
                users.append((path, tokens))
            case 2, 3:
                guard !users.isEmpty else { continue }
                let (path, tokens) = users.remove(at: draw(users.count))
                tree.leave(path, at: moment)
                for end in 1...tokens.count {
                    blocks[Array(tokens.prefix(end))]?.users -= 1
                    blocks[Array(tokens.prefix(end))]?.last = moment
                }
            default:
                let leaves = blocks.filter { block in
                    block.value.users == 0
                        && !blocks.keys.contains { $0.count == block.key.count + 1 && $0.starts(with: block.key) }
                }
                let oldest = leaves.min { $0.value.last < $1.value.last }
                precondition(tree.oldestUse == oldest?.value.last, "moment \(moment)")
                let evicted = tree.evict()
                precondition(evicted == oldest.map { [$0.value.page] }, "moment \(moment)")
                if let oldest { blocks[oldest.key] = nil }
            }
            precondition(tree.count == blocks.count && tree.idlePages == blocks.values.count { $0.users == 0 })
        }
    }
}
