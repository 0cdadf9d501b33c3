import Foundation
import Inference
import Kernels
import Models
import Testing

/// Keeps every second slot of those before the newest eight, another half in each head, whenever 32 more tokens have come: a
/// retention in one file.
struct ToyRetention: Retention {
    let name = "toy"

    func nextDecision(after tokens: Int, prompt: Int) -> Int? { (tokens / 32 + 1) * 32 }

    func mostRetained(at tokens: Int, prompt: Int) -> Int { min(tokens, 64) }

    func retained(_ stream: StreamState) -> RetainedSlots {
        .heads(
            (0..<stream.kvHeads).map { head in
                let old = stride(from: head % 2, to: stream.slots - 8, by: 2).prefix((stream.slots - 8) / 2)
                return Array(old) + Array(stream.slots - 8..<stream.slots)
            })
    }
}

/// Keeps the oldest and the newest slots, 24 in each head on average: 8 in the first, 40 in the last.
struct ToyUnequalHeads: Retention {
    let name = "toy-heads"
    var budgetScope = BudgetScope.layer

    func nextDecision(after tokens: Int, prompt: Int) -> Int? { (tokens / 32 + 1) * 32 }

    func mostRetained(at tokens: Int, prompt: Int) -> Int { min(tokens, 24) }

    func retained(_ stream: StreamState) -> RetainedSlots {
        .heads(
            (0..<stream.kvHeads).map { head in
                let (slots, most) = (stream.slots(head: head), 8 + 32 * head / max(1, stream.kvHeads - 1))
                guard slots > most else { return Array(0..<slots) }
                return Array(0..<most / 2) + Array(slots - most / 2..<slots)
            })
    }
}

/// Keeps every slot of the first head, and the newest 16 of each other, of the second whenever 32 more tokens have come, of the third
/// 64.
struct ToyOwnHeads: Retention {
    let name = "toy-own-heads"
    let budgetScope = BudgetScope.own
    private var number = 0

    func head(_ index: Int) -> any Retention {
        var copy = self
        copy.number = index
        return copy
    }

    func nextDecision(after tokens: Int, prompt: Int) -> Int? {
        number == 0 ? nil : (tokens / (32 * number) + 1) * 32 * number
    }

    func mostRetained(at tokens: Int, prompt: Int) -> Int { number == 0 ? tokens : min(tokens, 16) }

    func retained(_ stream: StreamState) -> RetainedSlots { .ranges([max(0, stream.slots - 16)..<stream.slots]) }
}

/// The decisions of another retention, with pages of its own for each head.
struct ToySeparation: Retention {
    let base: any Retention
    let budgetScope = BudgetScope.layer

    var name: String { base.name }
    var inputs: RetentionInputs { base.inputs }
    func nextDecision(after tokens: Int, prompt: Int) -> Int? { base.nextDecision(after: tokens, prompt: prompt) }
    func mostRetained(at tokens: Int, prompt: Int) -> Int { base.mostRetained(at: tokens, prompt: prompt) }
    func retained(_ stream: StreamState) -> RetainedSlots { base.retained(stream) }
}

/// Keeps the slots that got the most attention, half of them.
struct ToyHeavyHitters: Retention {
    let name = "toy-mass"
    let inputs: RetentionInputs = .mass

    func nextDecision(after tokens: Int, prompt: Int) -> Int? { (tokens / 32 + 1) * 32 }

    func mostRetained(at tokens: Int, prompt: Int) -> Int { min(tokens, 64) }

    func retained(_ stream: StreamState) -> RetainedSlots {
        .heads(
            stream.mass.map { mass in
                let heavy = mass.indices.sorted { (-mass[$0], $0) < (-mass[$1], $1) }
                return heavy.prefix(stream.slots / 2).sorted()
            })
    }
}

@Suite struct ToyRetentionTests {
    /// One KV head as the definition has it: the slots kept, and attention over them.
    private struct Head {
        var positions: [Int32] = []
        var keys: [[Float]] = []
        var values: [[Float]] = []
        var scores: [Float] = []

        /// The output of a query, and the attention that each slot got.
        func attend(_ query: [Float]) -> (output: [Double], mass: [Double]) {
            let scale = 1 / Double(query.count).squareRoot()
            let logits = keys.map { key in zip(query, key).reduce(0) { $0 + Double($1.0) * Double($1.1) } * scale }
            let top = logits.max() ?? 0
            let weights = logits.map { exp($0 - top) }
            let sum = weights.reduce(0, +)
            var output = [Double](repeating: 0, count: values[0].count)
            for (weight, value) in zip(weights, values) {
                for (index, x) in value.enumerated() { output[index] += weight / sum * Double(x) }
            }
            return (output, weights.map { $0 / sum })
        }

        mutating func keep(_ slots: [Int]) {
            (positions, keys, values, scores) = (
                slots.map { positions[$0] }, slots.map { keys[$0] }, slots.map { values[$0] }, slots.map { scores[$0] }
            )
        }
    }

    /// The largest difference of the paged cache's attention from the definition's, for random rows, decisions and all; and the slots
    /// left.
    private func difference(_ retention: any Retention, steps: [Int]) throws -> (largest: Double, slots: Int) {
        let config = try TinyDesign.grouped.config
        let total = steps.reduce(0, +)
        var cache = try PagedKVCache(
            config: config, retention: retention, pageBytes: 1024, tokens: total, chunk: total)
        cache.add(0)
        let geometry = cache.geometry[0]
        let (heads, dim) = (config.heads[0], geometry.keyDim)
        let group = heads / geometry.kvHeads
        var random = RandomValues(seed: 3)
        var reference = [Head](repeating: Head(), count: geometry.kvHeads)
        var (largest, tokens) = (0.0, 0)
        for count in steps {
            var (rows, expected) = ([Float](), [Double]())
            var mass = reference.map { _ in [Double](repeating: 0, count: 0) }
            for row in 0..<count {
                let queries = (0..<heads).map { _ in random.values(dim) }
                let keys = (0..<geometry.kvHeads).map { _ in random.values(dim) }
                let values = (0..<geometry.kvHeads).map { _ in random.values(dim) }
                rows += (queries + keys + values).joined()
                for head in reference.indices {
                    reference[head].positions.append(Int32(tokens + row))
                    reference[head].keys.append(keys[head])
                    reference[head].values.append(values[head])
                    mass[head] += [Double](repeating: 0, count: reference[head].keys.count - mass[head].count)
                }
                for (index, query) in queries.enumerated() {
                    let (output, attention) = reference[index / group].attend(query)
                    expected += output
                    for (slot, share) in attention.enumerated() { mass[index / group][slot] += share }
                }
            }
            let step = RaggedBatch(sequences: [0], counts: [count], tokens: [Int32](repeating: 0, count: count))
            let isReserved = cache.reserve(step)
            #expect(isReserved)
            // Every layer stores its rows: the first is compared.
            for layer in 0..<config.layers {
                let queries = CachedQueries(rows: Storage(copying: rows), heads: heads, geometry: geometry)
                let found = cache.attend(layer: layer, queries, step).output.array()
                guard layer == 0 else { continue }
                for (x, y) in zip(found, expected) { largest = max(largest, abs(Double(x) - y)) }
            }
            cache.commit(step)
            tokens += count
            for head in reference.indices {
                reference[head].scores += [Float](repeating: 0, count: count)
                for (slot, share) in mass[head].enumerated() { reference[head].scores[slot] += Float(share) }
            }
            if retention.budgetScope == .own {
                for (head, own) in reference.indices.map({ retention.head($0) }).enumerated()
                where own.nextDecision(after: tokens - 1, prompt: .max) == tokens {
                    let slots = reference[head].keys.count
                    let state = StreamState(
                        tokens: tokens, prompt: .max, kvHeads: 1, slots: slots, positions: [reference[head].positions], mass: [])
                    guard case .ranges(let kept) = own.retained(state) else { continue }
                    reference[head].keep(kept.flatMap { Array($0) })
                }
                continue
            }
            guard retention.nextDecision(after: tokens - 1, prompt: .max) == tokens else { continue }
            let state = StreamState(
                tokens: tokens, prompt: .max, kvHeads: geometry.kvHeads, slots: reference.map(\.keys.count).max() ?? 0,
                positions: reference.map(\.positions), mass: retention.inputs.contains(.mass) ? reference.map(\.scores) : [])
            guard case .heads(let kept) = retention.retained(state) else { continue }
            for head in reference.indices { reference[head].keep(kept[head]) }
        }
        return (largest, cache.positions(of: 0)[0].map(\.count).max() ?? tokens)
    }

    @Test(arguments: [true, false]) func `attention after packing is attention over the kept slots of each head`(
        byMass: Bool
    ) throws {
        let retention: any Retention = byMass ? ToyHeavyHitters() : ToyRetention()
        let steps = [20, 12, 32] + [Int](repeating: 1, count: 70) + [3, 5, 18]
        let (largest, slots) = try difference(retention, steps: steps)
        #expect(largest < 1e-5 && slots < 80, "\(largest), \(slots) slots")
    }

    @Test(arguments: [BudgetScope.layer, .model]) func `heads keep unequal numbers of slots, each in pages of its own`(
        scope: BudgetScope
    ) throws {
        let steps = [20, 12, 32] + [Int](repeating: 1, count: 70) + [3, 5, 18]
        let (largest, slots) = try difference(ToyUnequalHeads(budgetScope: scope), steps: steps)
        #expect(largest < 1e-5 && slots == 40, "\(largest), \(slots) slots")
    }

    @Test func `heads decide for themselves, each of its own slots at its own moments`() throws {
        let steps = [20, 12, 32] + [Int](repeating: 1, count: 70) + [3, 5, 18]
        let (largest, slots) = try difference(ToyOwnHeads(), steps: steps)
        #expect(largest < 1e-5 && slots == 160, "\(largest), \(slots) slots")
    }

    @Test func `pages of a head go back when it decides, those of a whole head never`() throws {
        let config = try TinyDesign.grouped.config
        let kvHeads = config.kvGeometry(.float32)[0].kvHeads
        var cache = try PagedKVCache(
            config: config, retention: ToyOwnHeads(), pageBytes: 1024, sequences: 2, tokens: 96, chunk: 32)
        let budget = cache.pages(tokens: 96, inChunksOf: 32)
        cache.add(0)
        for turn in 0..<3 {
            let step = RaggedBatch(sequences: [0], counts: [32], tokens: [Int32](repeating: 0, count: 32))
            let isReserved = cache.reserve(step)
            #expect(isReserved && cache.table(of: 0).allPages.count <= budget)
            cache.commit(step)
            if turn == 1 { cache.fork(0, as: 1) }
        }
        let slots = cache.positions(of: 0).map { $0.map(\.count) }
        // The third head last decided at 64 of 96 tokens.
        #expect(slots == [[Int]](repeating: (0..<kvHeads).map { [96, 16, 48][min($0, 2)] }, count: config.layers))
        let pages = slots.joined().reduce(0) { $0 + cache.layouts[0].pages(tokens: $1) }
        #expect(cache.table(of: 0).allPages.count == pages)
        #expect(cache.positions(of: 1)[0][0] == (0..<64).map { Int32($0) })
        for sequence in 0..<2 { cache.remove(sequence) }
        #expect(cache.store.pool.inconsistency() == nil && cache.store.pool.freeCount == cache.store.pool.pages)
    }

    @Test func `heads in pages of their own attend as heads in one page do, bit for bit`() throws {
        let config = try TinyDesign.grouped.config
        for base in [ToyRetention(), ToyHeavyHitters()] as [any Retention] {
            var caches = try [base, ToySeparation(base: base)].map {
                try PagedKVCache(config: config, retention: $0, pageBytes: 1024, sequences: 3, tokens: 120, chunk: 32)
            }
            for index in caches.indices { for sequence in 0..<3 { caches[index].add(sequence) } }
            #expect(caches[1].layouts.count == config.layers * caches[0].layouts[0].kvHeads)
            let (geometry, heads) = (caches[0].geometry[0], config.heads[0])
            var random = RandomValues(seed: 5)
            for counts in [[32, 7, 1], [5, 3, 9]] + [[Int]](repeating: [1, 1, 1], count: 40) {
                let total = counts.reduce(0, +)
                let step = RaggedBatch(
                    sequences: [0, 1, 2], counts: counts, tokens: [Int32](repeating: 0, count: total))
                let width = heads * geometry.keyDim + geometry.elementsPerToken
                let rows = (0..<config.layers).map { _ in random.values(total * width) }
                let found = caches.indices.map { index in
                    (0..<config.layers).map { layer in
                        let queries = CachedQueries(rows: Storage(copying: rows[layer]), heads: heads, geometry: geometry)
                        let attention = caches[index].attend(layer: layer, queries, step)
                        return attention.output.array() + attention.logSumExp.array()
                    }
                }
                let isSame = found[0] == found[1]
                #expect(isSame)
                for index in caches.indices { caches[index].commit(step) }
                #expect(caches[0].positions(of: 0) == caches[1].positions(of: 0))
            }
        }
    }

    @Test func `pages of single heads are shared, copied, counted and given back`() throws {
        let config = try TinyDesign.grouped.config
        let kvHeads = config.kvGeometry(.float32)[0].kvHeads
        for scope in [BudgetScope.layer, .model] {
            let retention = ToyUnequalHeads(budgetScope: scope)
            var cache = try PagedKVCache(
                config: config, retention: retention, pageBytes: 1024, sequences: 2, tokens: 96, chunk: 32)
            let budget = cache.pages(tokens: 96, inChunksOf: 32)
            func advance(_ sequence: Int, by count: Int) {
                let step = RaggedBatch(sequences: [sequence], counts: [count], tokens: [Int32](repeating: 0, count: count))
                let isReserved = cache.reserve(step)
                #expect(isReserved)
                let held = cache.table(of: sequence).allPages.count
                #expect(held <= budget, "\(held) of \(budget) pages")
                cache.commit(step)
            }
            cache.add(0)
            advance(0, by: 20)
            cache.fork(0, as: 1)
            advance(0, by: 12)
            // The copy keeps the pages that the packed sequence does without.
            #expect(cache.positions(of: 0)[0].map(\.count) == (0..<kvHeads).map { min(32, 8 + 32 * $0 / (kvHeads - 1)) })
            #expect(cache.positions(of: 1)[0].isEmpty && cache.length(of: 1) == 20)
            advance(1, by: 12)
            for _ in 0..<64 {
                advance(0, by: 1)
                advance(1, by: 1)
            }
            let slots = cache.positions(of: 0).map { $0.map(\.count) }
            #expect(slots == [[Int]](repeating: (0..<kvHeads).map { 8 + 32 * $0 / (kvHeads - 1) }, count: config.layers))
            let pages = slots.joined().reduce(0) { $0 + cache.layouts[0].pages(tokens: $1) }
            #expect(cache.table(of: 0).allPages.count == pages && cache.slotsKept(0) == 24)
            #expect(cache.bytesHeld.allocated == 2 * pages * 1024)
            #expect(cache.bytesHeld.logical == 2 * 24 * config.kvBytesPerToken(.float32))
            #expect(cache.store.pool.pages - cache.store.pool.freeCount == 2 * pages)
            for sequence in 0..<2 { cache.remove(sequence) }
            #expect(cache.store.pool.inconsistency() == nil && cache.store.pool.freeCount == cache.store.pool.pages)
        }
    }

    @Test func `packed slots give their pages back`() throws {
        let config = try TinyDesign.grouped.config
        var cache = try PagedKVCache(config: config, retention: ToyRetention(), pageBytes: 1024, tokens: 320, chunk: 32)
        cache.add(0)
        for _ in 0..<10 {
            let step = RaggedBatch(sequences: [0], counts: [32], tokens: [Int32](repeating: 0, count: 32))
            let isReserved = cache.reserve(step)
            #expect(isReserved)
            cache.commit(step)
        }
        // 40 slots at most are left of 320 tokens.
        let slots = cache.table(of: 0).slots(0)
        #expect(cache.length(of: 0) == 320 && slots <= 40)
        #expect(cache.bytesHeld.logical == slots * config.kvBytesPerToken(.float32))
        #expect(cache.store.pool.pages - cache.store.pool.freeCount == cache.layouts.reduce(0) { $0 + $1.pages(tokens: slots) })
        cache.remove(0)
        #expect(cache.store.pool.inconsistency() == nil && cache.store.pool.freeCount == cache.store.pool.pages)
    }

    @Test func `tokens do not depend on chunks, sharing, preemption or tiers`() async throws {
        let expected = try await outputs { $0.retention = ToyRetention() }
        #expect(try await expected != outputs { _ in })
        #expect(try await expected == outputs { ($0.retention, $0.limits.tokensPerStep) = (ToyRetention(), 7) })
        #expect(try await expected == outputs { ($0.retention, $0.prefixSharing) = (ToyRetention(), false) })
        for way in EngineOptions.Preemption.allCases {
            let tight = try await outputs {
                ($0.retention, $0.cacheBytes, $0.tier, $0.preemption) = (ToyRetention(), 100 * 1024, ToyTier(), way)
            }
            #expect(tight == expected, "\(way)")
        }
    }

    @Test(arguments: [BudgetScope.layer, .model, .own])
    func `tokens of unequal heads do not depend on chunks, sharing, preemption or tiers`(scope: BudgetScope) async throws {
        let retention: any Retention = scope == .own ? ToyOwnHeads() : ToyUnequalHeads(budgetScope: scope)
        let expected = try await outputs { $0.retention = retention }
        #expect(try await expected != outputs { _ in })
        #expect(try await expected == outputs { ($0.retention, $0.limits.tokensPerStep) = (retention, 7) })
        #expect(try await expected == outputs { ($0.retention, $0.prefixSharing) = (retention, false) })
        for way in EngineOptions.Preemption.allCases {
            let tight = try await outputs {
                ($0.retention, $0.cacheBytes, $0.tier, $0.preemption) = (retention, 150 * 1024, ToyTier(), way)
            }
            #expect(tight == expected, "\(way)")
        }
        // Of a layer's heads in pages of their own every retention frees slots; of heads in one page only these of equal numbers.
        let own = try await outputs(own: ToyRetention()) { $0.retention = retention }
        #expect(try await own == outputs { $0.retention = ToyRetention() })
        await #expect(throws: InferenceError.headsShareBudgets(policy: retention.name)) {
            try await outputs(own: retention) { $0.retention = ToyRetention() }
        }
    }

    @Test func `a prompt's beginning is shared up to the first decision`() async throws {
        let prompts = [Int](repeating: 70, count: 4)
        let shared = try await outputs(prompts: prompts) { $0.retention = ToyRetention() }
        #expect(try await shared == outputs(prompts: prompts) { ($0.retention, $0.prefixSharing) = (ToyRetention(), false) })
    }
}
