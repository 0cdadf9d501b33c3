import Kernels
import Models
import Random
import TestSupport
import Testing

@testable import Inference

/// Random operations on a pool, a cache and a prefix tree, with a copy of what each sequence should find in its pages.
@Suite struct CacheOperationsTests {
    /// A cache whose tokens are stamps of themselves and all before them, written into real pages.
    struct World {
        var cache: PagedKVCache
        var tree: PrefixTree
        let store: PageStore
        let windows: [(window: Int?, sinks: Int)]
        /// What each sequence holds, and its part of the tree.
        var tokens: [Int: [Int32]] = [:]
        var paths: [Int: PrefixPath] = [:]
        var moment = 0

        init(_ config: ModelConfig, pages: Int) throws {
            store = try PageStore(bytes: pages * 192, pageBytes: 192)
            cache = try PagedKVCache(config: config, store: store)
            cache.retainsOnCommit = false
            tree = PrefixTree(cache)
            windows = cache.geometry.map { ($0.window, $0.sinks) }
        }

        mutating func tick() -> Int {
            moment += 1
            return moment
        }

        private func stamps(_ tokens: [Int32]) -> [UInt8] {
            var hash: UInt32 = 2_166_136_261
            return tokens.map { token in
                hash = (hash ^ UInt32(bitPattern: token)) &* 16_777_619
                return UInt8(truncatingIfNeeded: hash >> 13)
            }
        }

        mutating func remove(_ id: Int) {
            tree.leave(paths[id] ?? PrefixPath(), at: tick())
            cache.remove(id)
            (tokens[id], paths[id]) = (nil, nil)
        }

        mutating func evict() -> Bool {
            guard let pages = tree.evict() else { return false }
            for page in pages { store.pool.release(page) }
            return true
        }

        /// Lets the tree hold what a sequence has of whole blocks.
        mutating func keep(_ id: Int) {
            let (path, held) = tree.insert(
                tokens[id]!, salt: "", table: cache.table(of: id), behind: paths[id]!, at: tick())
            for page in held { store.pool.retain(page) }
            paths[id] = path
        }

        /// Lets go of what is behind a sequence's windows.
        mutating func pass(_ id: Int) {
            cache.retain(id)
            paths[id] = tree.advance(paths[id]!, to: tokens[id]!.count, at: tick())
        }

        /// Appends tokens where there are pages, as the kernel would: into pages with one holder alone. They are kept in the tree
        /// before or after windows pass them, or not at all.
        mutating func append(_ id: Int, _ new: [Int32], kept: Int) {
            let step = RaggedBatch(sequences: [id], counts: [new.count], tokens: new)
            let needed = cache.pagesNeeded(id, adding: new.count)
            while !cache.reserve(step) {
                precondition(needed > store.pool.freeCount, "pages were there")
                guard evict() else { return }
            }
            precondition(cache.sharedWrite(step) == nil, "a page of two holders would be written")
            let all = tokens[id]! + new
            let stamps = stamps(all)
            let table = cache.table(of: id)
            for (layer, pages) in table.pages.enumerated() {
                let size = cache.layouts[layer].tokensPerPage
                for position in table.tokens..<all.count {
                    var bytes = store.memory.bytes(of: pages[position / size])
                    bytes[position % size] = stamps[position]
                    store.memory.write(bytes[...], to: pages[position / size])
                }
            }
            cache.commit(step)
            tokens[id] = all
            if kept == 0 { keep(id) }
            pass(id)
            if kept == 1 {
                keep(id)
                pass(id)
            }
        }

        /// Everything that a next token sees is what was written for this very sequence.
        func check(_ id: Int) {
            let (table, stamps) = (cache.table(of: id), stamps(tokens[id]!))
            precondition(table.tokens == stamps.count)
            for (layer, pages) in table.pages.enumerated() {
                let size = cache.layouts[layer].tokensPerPage
                for (index, page) in pages.enumerated() {
                    let positions = index * size..<min((index + 1) * size, stamps.count)
                    guard page != BlockTable.freed else {
                        let (window, sinks) = windows[layer]
                        for position in positions {
                            precondition(
                                position >= sinks && position <= stamps.count - (window ?? .max / 2), "a seen page is gone")
                        }
                        continue
                    }
                    let bytes = store.memory.bytes(of: page)
                    for position in positions {
                        precondition(bytes[position % size] == stamps[position], "token \(position) of \(id) was overwritten")
                    }
                }
            }
        }

        func checkBooks() {
            let found = store.pool.inconsistency() ?? tree.inconsistency()
            precondition(found == nil, found ?? "")
            var counts = [Int](repeating: 0, count: store.pool.pages)
            for id in cache.sequences { for page in cache.table(of: id).allPages { counts[Int(page)] += 1 } }
            for page in tree.allPages { counts[Int(page)] += 1 }
            for page in counts.indices { precondition(counts[page] == store.pool.count(of: Int32(page)), "page \(page)") }
            for id in tokens.keys { check(id) }
        }
    }

    @Test(arguments: [false, true], 1...3 as ClosedRange<UInt64>)
    func `in fifty thousand random operations no sequence's tokens are overwritten`(windowed: Bool, seed: UInt64) throws {
        // Keys and values of 64 and 96 bytes a token: pages of three and of two tokens.
        var config = TinyModel.config(layers: 2, heads: 6, headDim: 8)
        config.kvHeads = .each([2, 3])
        config.headDim = .all(4)
        if windowed { try HybridAttention(window: 5, fullEvery: 2, sinks: 1).configure(&config) }
        var world = try World(config, pages: 40)
        try #require(world.cache.layouts.map(\.tokensPerPage) == [3, 2])
        var random = SeededGenerator(seed: seed)
        func draw(_ limit: Int) -> Int { Int(random.uniform() * Double(limit)) }
        func word(_ count: Int) -> [Int32] { (0..<count).map { _ in Int32(draw(2)) } }
        var (next, hits) = (0, 0)
        for step in 0..<50_000 {
            let ids = world.tokens.keys.sorted()
            let id = ids.isEmpty ? nil : ids[draw(ids.count)]
            switch (draw(10), id) {
            case (0...1, _) where ids.count < 8:
                // A new one takes up what the tree has of its tokens.
                let tokens = word(1 + draw(12))
                let path = world.tree.match(tokens, salt: "")
                hits += path.count
                world.tree.use(path, at: world.tick())
                world.cache.add(next, sharing: world.tree.table(of: path))
                world.tokens[next] = Array(tokens.prefix(path.count * world.tree.blockTokens))
                world.paths[next] = path
                next += 1
            case (2, let id?) where ids.count < 8:
                world.cache.fork(id, as: next)
                world.tree.use(world.paths[id]!, at: world.tick())
                (world.tokens[next], world.paths[next]) = (world.tokens[id], world.paths[id])
                next += 1
            case (3, let id?):
                world.remove(id)
            case (4, let id?):
                world.tree.leave(world.paths[id]!, at: world.tick())
                world.paths[id] = PrefixPath()
                world.cache.reset(id)
                world.tokens[id] = []
            case (5, let id?):
                world.keep(id)
                world.pass(id)
            case (6, _):
                _ = world.evict()
            case (_, let id?):
                world.append(id, word(1 + draw(4)), kept: draw(6))
            default:
                break
            }
            if let id, world.tokens[id] != nil { world.check(id) }
            if step % 50 == 0 { world.checkBooks() }
        }
        for id in world.tokens.keys { world.remove(id) }
        while world.evict() {}
        #expect(world.store.pool.freeCount == 40 && hits > 100, "\(hits) blocks found")
    }
}
