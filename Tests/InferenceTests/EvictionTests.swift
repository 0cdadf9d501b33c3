import Foundation
import Kernels
import Models
import TestSupport
import Testing

@testable import Inference

@Suite struct EvictionTests {
    /// The settings of `policy` with a budget, and small constants where it has any.
    private func settings(_ policy: any EvictionPolicy, budget: EvictionBudget?, _ config: ModelConfig) throws -> EvictionSettings
    {
        var settings = EvictionSettings(policy, budget: budget)
        if policy.options.contains(.window) { settings.window = 6 }
        if policy.options.contains(.pool) { settings.pool = .average(3) }
        if policy.options.contains(.future) { settings.future = 40 }
        if policy.options.contains(.interval) { settings.interval = 16 }
        if let policy = policy as? any HeadPolicy { try settings.rank(policy, config, in: scratch) }
        return settings
    }

    private let scratch = ScratchDirectory()

    private func retention(
        _ policy: any EvictionPolicy, budget: EvictionBudget, _ config: ModelConfig
    ) throws -> EvictionRetention {
        try retention(settings(policy, budget: budget, config))
    }

    /// The retention of `settings`, with an instruction for a model of few tokens.
    private func retention(_ settings: EvictionSettings) throws -> EvictionRetention {
        var retention = try #require(try settings.retention() as? EvictionRetention)
        (retention.instruction, retention.classes) = (.tiny, .tiny)
        return retention
    }

    /// The design's model with positions for a prompt and its repetition.
    private func config(_ design: TinyDesigns) throws -> ModelConfig {
        var config = try design.config
        config.maxSequence = 128
        return config
    }

    /// The slots kept by a policy of a stream of one KV head.
    private func kept(_ name: String, budget: Int, of stream: StreamState, _ change: (inout EvictionSettings) -> Void = { _ in })
        throws -> [[Int]]
    {
        var settings = EvictionSettings()
        (settings.policy, settings.budget) = (name, .tokens(budget))
        change(&settings)
        guard case .heads(let heads) = try settings.retention().retained(stream) else { return [] }
        return heads
    }

    private func stream(_ slots: Int, heads: Int = 1) -> StreamState {
        StreamState(tokens: slots, prompt: slots, kvHeads: heads, slots: slots, positions: [], mass: [])
    }

    @Test func `shared prefixes are compressed by policies that score slots without queries, others are refused`() throws {
        let config = try config(.gqa)
        let agnostic = [
            "streaming-llm", "window", "random", "knorm", "keydiff", "expected-attention", "kvzip", "duo-attention",
            "razor-attention",
        ]
        #expect(EvictionPolicies.namesOfQueryAgnostic == agnostic)
        for policy in EvictionPolicies.all where EvictionPolicies.namesWithoutBudget.contains(policy.name) == false {
            let retention = try settings(policy, budget: .tokens(40), config).retention()
            if agnostic.contains(policy.name) {
                try retention.checkSharedPrefixes()
            } else {
                #expect(throws: InferenceError.noSharedPrefixes(policy: policy.name)) { try retention.checkSharedPrefixes() }
            }
        }
        #expect(throws: InferenceError.noSharedPrefixes(policy: nil)) { try FullRetention().checkSharedPrefixes() }
    }

    // MARK: Policies by hand

    @Test func `streaming-llm keeps the sinks and the newest, a window the newest alone`() throws {
        #expect(try kept("streaming-llm", budget: 6, of: stream(10)) == [[0, 1, 2, 3, 8, 9]])
        #expect(try kept("streaming-llm", budget: 4, of: stream(10)) { $0.sinks = 1 } == [[0, 7, 8, 9]])
        #expect(try kept("window", budget: 3, of: stream(10)) == [[7, 8, 9]])
        // Slots that were evicted before are not there any more: sinks and age go by positions.
        var packed = stream(6)
        (packed.tokens, packed.positions) = (20, [[0, 2, 3, 17, 18, 19]])
        #expect(try kept("streaming-llm", budget: 4, of: packed) { $0.sinks = 2 } == [[0, 3, 4, 5]])
    }

    @Test func `knorm keeps small keys, keydiff those that point elsewhere, of equal ones the oldest`() throws {
        var stream = stream(4)
        // Norms 5, 1, 1, 2.
        stream.keys = [[3, 4, 1, 0, 0, 1, 2, 0]]
        #expect(try kept("knorm", budget: 1, of: stream) == [[1]])
        #expect(try kept("knorm", budget: 3, of: stream) == [[1, 2, 3]])
        #expect(try kept("knorm", budget: 2, of: stream) { $0.sinks = 1 } == [[0, 1]])
        // Directions (1, 0), (1, 0), (0, 1), (1, 0) have the mean (3, 1)/4: the third has the smallest cosine.
        stream.keys = [[2, 0, 1, 0, 0, 7, 3, 0]]
        #expect(try kept("keydiff", budget: 1, of: stream) == [[2]])
        #expect(try kept("keydiff", budget: 2, of: stream) == [[0, 2]])
    }

    @Test func `policies by attention keep what was attended to, each by its own sum`() throws {
        var stream = stream(6, heads: 2)
        stream.mass = [[6, 1, 4, 2, 1, 1], [0, 3, 0, 0, 5, 1]]
        // Two of four newest; the heaviest of the others.
        #expect(try kept("h2o", budget: 4, of: stream) == [[0, 2, 4, 5], [0, 1, 4, 5]])
        // Means over 6, 5, 4, 3, 2, 1 queries: 1, .2, 1, .67, .5, 1 and 0, .6, 0, 0, 2.5, 1.
        #expect(try kept("observed-attention", budget: 3, of: stream) == [[0, 2, 5], [1, 4, 5]])
        // Over both heads 6, 4, 4, 2, 6, 2, and the newest in any case.
        #expect(try kept("tova", budget: 3, of: stream) == [[0, 4, 5], [0, 4, 5]])
        // A window of two; the others averaged over three, zeros outside: 7/3, 11/3, 7/3, 2 and 1, 1, 1, 0.
        #expect(
            try kept("snapkv", budget: 4, of: stream) { ($0.window, $0.pool) = (2, .average(3)) }
                == [[0, 1, 4, 5], [0, 1, 4, 5]])
        // Their largest neighbour: 6, 6, 4, 4 and 3, 3, 3, 0.
        #expect(
            try kept("snapkv", budget: 5, of: stream) { ($0.window, $0.pool) = (2, .max(3)) }
                == [[0, 1, 2, 4, 5], [0, 1, 2, 4, 5]])
    }

    @Test func `heads divide their budgets by their scores, each above a fifth of its own`() throws {
        func kept(_ allocation: BudgetAllocation, budget: Int, _ streams: [StreamState]) throws -> [[[Int]]] {
            var settings = EvictionSettings()
            (settings.policy, settings.budget, settings.allocation) = ("observed-attention", .tokens(budget), allocation)
            return try settings.retention().retained(streams).map { slots in
                guard case .heads(let heads) = slots else { return [] }
                return heads
            }
        }
        /// A stream whose slots have these scores: attention over the number of queries that saw a slot.
        func scored(_ scores: [[Float]]) -> StreamState {
            var stream = stream(scores[0].count, heads: scores.count)
            stream.mass = scores.map { $0.enumerated().map { slot, score in score * Float(scores[0].count - slot) } }
            return stream
        }
        let low = scored([[9, 8, 7, 6, 5, 4, 3, 0, 0, 0], [2, 1, 2, 0, 1, 0, 0, 0, 0, 0]])
        #expect(try kept(.uniform, budget: 5, [low]) == [[[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]])
        #expect(try kept(.ada, budget: 5, [low]) == [[[0, 1, 2, 3, 4, 5, 6], [0, 1, 2]]])
        // A head without scores keeps a slot, of budgets of ten two.
        let empty = scored([[9, 8, 7, 6, 5, 4, 3, 2, 2, 2], [Float](repeating: 0, count: 10)])
        #expect(try kept(.ada, budget: 3, [empty]) == [[[0, 1, 2, 3, 4], [0]]])
        var long = scored([[Float](repeating: 1, count: 30), [Float](repeating: 0, count: 30)])
        #expect(try kept(.ada, budget: 10, [long]).map { $0.map(\.count) } == [[18, 2]])
        // Of equal scores the oldest, of all heads.
        long = scored([[Float](repeating: 1, count: 30), [Float](repeating: 1, count: 30)])
        #expect(try kept(.ada, budget: 10, [long]) == [[Array(0..<10), Array(0..<10)]])
        // The authors' numbers: 7 and 3 become 6.6 and 3.4, 20 and 0 become 18 and 2.
        #expect(try kept(.adaAuthors, budget: 5, [low]) == [[Array(0..<7), [0, 1, 2]]])
        let full = scored([[Float](repeating: 2, count: 30), [Float](repeating: 0, count: 30)])
        #expect(try kept(.adaAuthors, budget: 10, [full]).map { $0.map(\.count) } == [[18, 2]])
        // Layers each for themselves, or all together.
        #expect(try kept(.ada, budget: 3, [low, empty]) == [[[0, 1, 2, 3, 4], [0]], [[0, 1, 2, 3, 4], [0]]])
        #expect(try kept(.global, budget: 3, [low, empty]) == [[[0, 1, 2, 3, 4], [0]], [[0, 1, 2, 3, 4], [0]]])
        let high = scored([[90, 80, 70, 60, 50, 40, 30, 20, 20, 20], [Float](repeating: 1, count: 10)])
        #expect(try kept(.global, budget: 3, [low, high]) == [[[0], [0]], [Array(0...8), [0]]])
        // Heads with unequal numbers of slots decide again, whose positions are not their slots.
        var packed = stream(4, heads: 2)
        (packed.tokens, packed.positions) = (10, [[0, 1, 8, 9], [3, 9]])
        packed.mass = [[10, 0, 4, 1], [21, 5]]
        #expect(try kept(.ada, budget: 2, [packed]) == [[[0, 2], [0, 1]]])
    }

    @Test func `scissorhands counts the queries that gave a slot less than the mean`() throws {
        let policy = Scissorhands()
        // The fourth token's query over all slots, and the tenth's over three that are left.
        var weights: [Float] = [0.5, 0.24, 0.01, 0.25]
        policy.weigh(&weights, of: ObservedQuery(position: 3, prompt: 4, layer: 0, head: 0, positions: [], held: 0))
        #expect(weights == [0, 1, 1, 0])
        weights = [0.7, 0.2, 0.09]
        policy.weigh(&weights, of: ObservedQuery(position: 9, prompt: 4, layer: 0, head: 0, positions: [0, 3], held: 9))
        #expect(weights == [0, 0, 1])
        weights = [0.9999999]
        policy.weigh(&weights, of: ObservedQuery(position: 0, prompt: 4, layer: 0, head: 0, positions: [], held: 0))
        #expect(weights == [0])
        var stream = stream(6, heads: 2)
        stream.weighed = [[3, 0, 2, 1, 0, 0], [0, 0, 0, 4, 2, 1]]
        // One newest; of equal counts the oldest.
        #expect(try kept("scissorhands", budget: 3, of: stream) == [[1, 4, 5], [0, 1, 5]])
        // The cache grows to twice the budget between decisions.
        var settings = EvictionSettings()
        (settings.policy, settings.budget) = ("scissorhands", .tokens(30))
        let retention = try settings.retention()
        #expect(retention.nextDecision(after: 40, prompt: 40) == 70 && retention.nextDecision(after: 0, prompt: 0) == 60)
    }

    @Test func `keyformer's weights sum to one, are even as tau grows and are a function of both positions`() {
        let policy = Keyformer()
        func weighed(_ weights: [Float], position: Int, positions: [Int32] = [], head: Int = 0) -> [Float] {
            var weights = weights
            policy.weigh(
                &weights,
                of: ObservedQuery(position: position, prompt: 8, layer: 0, head: head, positions: positions, held: position))
            return weights
        }
        let even = [Float](repeating: 0.125, count: 8)
        let prompt = weighed(even, position: 7)
        #expect(abs(prompt.reduce(0, +) - 1) < 1e-6 && Set(prompt).count == 8)
        #expect(weighed(even, position: 7, head: 1) != prompt && weighed([0, 1], position: 1) == [0, 1])
        // Slots 0, 3 and 7 of the same query: their weights are as they were, up to the others' share.
        let some = weighed([0.3, 0.3, 0.3], position: 7, positions: [0, 3, 7])
        let share = prompt[0] + prompt[3] + prompt[7]
        for (slot, position) in [0, 3, 7].enumerated() { #expect(abs(some[slot] - prompt[position] / share) < 1e-6) }
        // A hundred thousand tokens behind the prompt tau is 1001, and the noise is gone.
        let late = weighed(even, position: 100_007)
        #expect(late.allSatisfy { abs($0 - 0.125) < 0.002 })
    }

    @Test func `random slots are a function of seed, head and position`() throws {
        let first = try kept("random", budget: 8, of: stream(30, heads: 2))
        #expect(try first == kept("random", budget: 8, of: stream(30, heads: 2)))
        #expect(try first != kept("random", budget: 8, of: stream(30, heads: 2)) { $0.seed = 1 })
        #expect(first[0] != first[1])
        // The kept slots stay the best ones once the others are gone.
        var packed = stream(8)
        (packed.tokens, packed.positions) = (30, [first[0].map { Int32($0) }])
        let again = try kept("random", budget: 4, of: packed)[0].map { first[0][$0] }
        #expect(try again == kept("random", budget: 4, of: stream(30))[0])
    }

    @Test func `a pyramid falls in equal steps and adds up to the budget`() {
        func slots(_ allocation: BudgetAllocation, _ mean: Double, layers: Int, prompt: Int) -> [Int] {
            (0..<layers).map { allocation.slots(mean: mean, guarded: 16, layer: $0, layers: layers, prompt: prompt) }
        }
        // 187.2 of 176 tokens beside the window: clamped.
        #expect(slots(.pyramid, 96, layers: 2, prompt: 192) == [176, 16])
        // The top layer would have less than its window.
        #expect(slots(.pyramid, 48, layers: 2, prompt: 192) == [48, 48])
        // The authors': 32/20 = 1.6 and 62.4 beside windows of 16.
        #expect(slots(.pyramidAuthors, 48, layers: 2, prompt: 192) == [78, 18])
        for layers in [1, 3, 8] {
            for mean in [400.0, 512, 1000] {
                for allocation in BudgetAllocation.allCases where layers > 1 {
                    let all = slots(allocation, mean, layers: layers, prompt: 4096)
                    #expect(abs(all.reduce(0, +) - Int(mean) * layers) <= layers / 2, "\(allocation): \(all)")
                    #expect(all == all.sorted(by: >))
                }
            }
        }
    }

    private func values(_ merge: some SlotMerge, _ stream: StreamState, kept: [Int]) -> [Int: [Float]] {
        var threshold: Double?
        return merge.values(stream, head: 0, kept: kept, threshold: &threshold)
    }

    @Test func `cam adds a share of evicted values to the next kept ones, by their attention`() throws {
        var stream = stream(6)
        stream.mass = [[4, 2, 2, 0, 9, 1]]
        stream.values = [[10, 32, 20, 64, -32, 1]]
        // Slot 1 got more than the mean of 2 and 5, slot 4 more than 5, slot 3 nothing.
        #expect(values(CaM(), stream, kept: [0, 2, 5]) == [2: [21], 5: [1]])
        // None follows.
        #expect(values(CaM(), stream, kept: [0, 1, 2]).isEmpty)
        // At most 32 slots: slot 0's share reaches slot 32.
        stream = self.stream(40)
        (stream.mass, stream.values) = ([[Float](repeating: 1, count: 40)], [[32] + [Float](repeating: 0, count: 39)])
        let reached = values(CaM(), stream, kept: Array(1..<40))
        #expect(reached.keys.sorted() == Array(1...32) && Set(reached.values) == [[1]])
        // A quarter of the mean is merged a quarter of the time.
        stream.mass = [[0.25] + [Float](repeating: 1, count: 39)]
        let times = (0..<400).count { !values(CaM(seed: $0), stream, kept: Array(1..<40)).isEmpty }
        #expect((70...130).contains(times), "\(times)")
    }

    @Test func `d2o averages evicted values into the slot of the nearest key, above a threshold that follows the similarities`()
        throws
    {
        var stream = stream(5)
        // Slot 1 lies along slot 0, slot 3 at a cosine of 0.8 to slots 2 and 4.
        stream.keys = [[3, 0, 2, 0, 0, 1, 6, 8, 0, 5]]
        stream.values = [[1, 2, 4, 8, 16]]
        var threshold: Double?
        let merged = D2O().values(stream, head: 0, kept: [0, 2, 4], threshold: &threshold)
        // (e·1 + e¹·2) / 2e; slot 3 is below the mean of 1 and 0.8.
        #expect(merged == [0: [1.5]])
        #expect(abs(try #require(threshold) - 0.9) < 1e-6)
        // Half the one before and half the new mean: 0.65, which slot 3 reaches; of slots 2 and 4, equally near, the older.
        threshold = 0.5
        let later = D2O().values(stream, head: 0, kept: [0, 1, 2, 4], threshold: &threshold)
        #expect(abs(try #require(threshold) - 0.65) < 1e-6)
        let expected = (exp(1) * 4 + exp(0.8) * 8) / (exp(1) + exp(0.8))
        let value = try #require(later[2]?.first)
        #expect(later.count == 1 && abs(Double(value) - expected) < 1e-5)
    }

    @Test func `kvmerger averages a run of alike keys into its slot with the most attention, by their distances`() throws {
        var stream = stream(6)
        // Runs 0 to 2, and 3 to 5 of which none is kept.
        stream.keys = [[1, 0, 1, 0.5, 1, 0, 0, 1, 0, 2, 0, 3]]
        (stream.values, stream.mass) = ([[1, 2, 4, 8, 16, 32]], [[1, 5, 2, 1, 1, 1]])
        // Slot 1 alone is evicted, at the mean distance from slot 2: a weight of e^(−1).
        let weight = exp(-1.0)
        let merged = values(KVMerger(), stream, kept: [0, 2])
        let value = try #require(merged[2]?.first)
        #expect(merged.count == 1 && abs(Double(value) - (4 + 2 * weight) / (1 + weight)) < 1e-5)
        // Equal keys have no distance, and count alike.
        stream.keys = [[1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 0, 1]]
        #expect(values(KVMerger(), stream, kept: [1, 2]) == [1: [1.5], 2: [15]])
    }

    // MARK: Decisions

    @Test func `decisions fall at the prompt's end and every interval behind it, where there is more than the budget`() throws {
        func decisions(_ name: String, _ budget: EvictionBudget, prompt: Int) throws -> [Int] {
            var settings = EvictionSettings()
            (settings.policy, settings.budget) = (name, budget)
            if name != "snapkv" { settings.interval = 50 } else { settings.window = 8 }
            let retention = try settings.retention()
            return Array(
                sequence(first: 0) { retention.nextDecision(after: $0, prompt: prompt) }.dropFirst().prefix { $0 < 400 })
        }
        #expect(try decisions("tova", .tokens(100), prompt: 180) == [180, 230, 280, 330, 380])
        #expect(try decisions("tova", .tokens(200), prompt: 180) == [230, 280, 330, 380])
        #expect(try decisions("tova", .tokens(100), prompt: 0) == [150, 200, 250, 300, 350])
        #expect(try decisions("tova", .share(50), prompt: 180) == [180, 230, 280, 330, 380])
        #expect(try decisions("snapkv", .tokens(100), prompt: 180) == [180])
        #expect(try decisions("snapkv", .tokens(180), prompt: 180) == [])
        #expect(try decisions("tova", .tokens(1000), prompt: 180) == [])
    }

    // MARK: Gates

    @Test(arguments: EvictionPolicies.names, [TinyDesigns.gqa, .latentBiased, .crossLayer, .yoco, .hybrid, .windowed])
    func `every policy passes its gates on every attention, or says why it cannot act`(
        name: String, design: TinyDesigns
    ) throws {
        let policy = try #require(EvictionPolicies.all.first { $0.name == name })
        let (config, scratch) = (try config(design), ScratchDirectory())
        let gates = try ExactnessGates(
            config: config, parameters: TinyModel.parameters(config), encoding: .float32, pageBytes: 1024,
            tokens: (0..<60).map { Int32($0 * 17 % 61) }, decoded: 20, tier: FileTier(directory: scratch.path))
        let retention = try retention(policy, budget: .tokens(16), config)
        let isRefused = design == .windowed || policy.name == "expected-attention" && (design == .crossLayer || design == .yoco)
        guard !isRefused else {
            #expect(throws: InferenceError.self) { try gates.run(evicting: retention) }
            return
        }
        let found = try gates.run(evicting: retention)
        for gate in found { #expect(gate.passes, "\(gate.name): \(gate.largestDifference)") }
        let left = found.filter { $0.notExercised != nil }.map(\.name)
        // Queries before the first block are observed by these; the others share a prompt's beginning.
        let observesAll = ["h2o", "observed-attention", "keyformer", "expected-attention", "fastgen"].contains(name)
        let isPlain = design == .gqa
        #expect(
            left == (observesAll ? ["\(name), prefix hit"] : [])
                + (name == "streaming-llm" && !isPlain ? ["streaming-llm, at every token, a sliding window"] : []))
    }

    @Test(arguments: EvictionPolicies.names, [BudgetAllocation.ada, .adaAuthors, .global])
    func `budgets of heads pass the gates of every policy on every attention, or are refused by name`(
        name: String, allocation: BudgetAllocation
    ) throws {
        let policy = try #require(EvictionPolicies.all.first { $0.name == name })
        var settings = try settings(policy, budget: .tokens(16), TinyDesigns.gqa.config)
        settings.allocation = allocation
        guard !policy.scoresHeadsAlike else {
            let error = InferenceError.foreignOption("--kv-allocate \(allocation.rawValue)", policy: name)
            #expect(throws: error) { try settings.retention() }
            return
        }
        // One KV head, layers that share caches and layers with windows are the mechanism's cases, whatever the numbers.
        let designs: [TinyDesigns] =
            switch allocation {
            case .ada: [.gqa, .crossLayer]
            case .global: [.latentBiased, .hybrid]
            default: [.gqa]
            }
        for design in designs {
            guard name != "expected-attention" || design != .crossLayer else { continue }
            let (config, scratch) = (try config(design), ScratchDirectory())
            settings.merge = design == .latentBiased ? nil : "cam"
            let retention = try retention(settings)
            let gates = try ExactnessGates(
                config: config, parameters: TinyModel.parameters(config), encoding: .int8, pageBytes: 512,
                tokens: (0..<60).map { Int32($0 * 17 % 61) }, decoded: 20, tier: FileTier(directory: scratch.path))
            for gate in try gates.run(evicting: retention) {
                #expect(gate.passes, "\(design), \(gate.name): \(gate.largestDifference)")
            }
        }
    }

    @Test(arguments: SlotMerges.names, EvictionPolicies.names)
    func `every merge passes the gates of every policy, or is refused by name`(merge: String, name: String) throws {
        let policy = try #require(EvictionPolicies.all.first { $0.name == name })
        let isRandom = try #require(SlotMerges.all.first { $0.name == merge }).isRandom
        for (design, encoding) in [(TinyDesigns.gqa, CacheEncoding.float32), (.gqa, .int8), (.crossLayer, .float32)] {
            guard name != "expected-attention" || design == .gqa else { continue }
            let (config, scratch) = (try config(design), ScratchDirectory())
            var settings = try settings(policy, budget: .tokens(16), config)
            (settings.merge, settings.seed) = (merge, isRandom || policy.options.contains(.seed) ? 3 : nil)
            let retention = try retention(settings)
            var gates = try ExactnessGates(
                config: config, parameters: TinyModel.parameters(config), encoding: encoding, pageBytes: 1024,
                // Keys of equal neighbours are alike.
                tokens: (0..<60).map { Int32($0 / 5 * 17 % 61) }, decoded: 20, tier: FileTier(directory: scratch.path))
            for gate in try gates.run(evicting: retention) { #expect(gate.passes, "\(gate.name): \(gate.largestDifference)") }
            // Not by chance: without the merge the predictions are others.
            gates.isBatchInvariant = true
            gates.retention = retention
            let merged = try gates.paged()
            settings.merge = nil
            if !policy.options.contains(.seed) { settings.seed = nil }
            gates.retention = try self.retention(settings)
            let isSame = try gates.paged() == merged
            #expect(!isSame)
        }
    }

    @Test func `merges are refused where values are keys`() throws {
        let config = try TinyDesigns.latentBiased.config
        var settings = try settings(HeavyHitters(), budget: .tokens(16), config)
        settings.merge = "cam"
        let retention = try settings.retention()
        #expect(
            throws: InferenceError.policyWithoutLayers(policy: "cam", reason: "its latents are keys and values at once")
        ) { try PagedKVCache(config: config, retention: retention, pageBytes: 1024, tokens: 60, chunk: 60) }
    }

    @Test(arguments: (CacheEncoding.all + CacheEncoding.mixed).filter { $0.blockTokens > 1 }, EvictionPolicies.all.map(\.name))
    func `single slots of blocks are not evicted, which is said before any work`(encoding: CacheEncoding, name: String) throws {
        let policy = try #require(EvictionPolicies.all.first { $0.name == name })
        // Of several encodings, the one of some layer that does.
        let blocked = encoding[0].blockTokens > 1 ? encoding[0].name : encoding[1].name
        let sentence =
            "\(blocked) encodes 32 tokens together, '\(name)' evicts single ones; use another --kv-dtype, or no --evict"
        let error = InferenceError.blocksWithEviction(encoding: blocked, tokens: 32, policy: name)
        #expect(error.description == sentence)
        let retention = try retention(policy, budget: .share(40), TinyDesigns.gqa.config)
        #expect(throws: error) {
            try PagedKVCache(
                config: TinyDesigns.gqa.config, encoding: encoding, retention: retention, pageBytes: 4096, tokens: 60, chunk: 60)
        }
    }

    @Test(arguments: (CacheEncoding.all + CacheEncoding.mixed).filter { $0.blockTokens == 1 })
    func `packed slots keep their bytes in every encoding`(encoding: CacheEncoding) throws {
        let scratch = ScratchDirectory()
        var config = try config(.gqa)
        // Widths that llama.cpp's blocks fit.
        if encoding[0].keys.blockElements == 32 { config.headDim = .all(32) }
        let gates = try ExactnessGates(
            config: config, parameters: TinyModel.parameters(config), encoding: encoding, pageBytes: 1024,
            tokens: (0..<60).map { Int32($0 * 17 % 61) }, decoded: 20, tier: FileTier(directory: scratch.path))
        for policy in EvictionPolicies.all {
            for gate in try gates.run(evicting: retention(policy, budget: .share(40), config)) {
                #expect(gate.passes, "\(gate.name): \(gate.largestDifference)")
            }
        }
    }

    // MARK: Bad input

    @Test func `settings that make no sense are refused by name`() {
        func refusal(_ change: (inout EvictionSettings) -> Void) -> String {
            var settings = EvictionSettings()
            change(&settings)
            do {
                _ = try settings.retention()
                return ""
            } catch {
                return error.description
            }
        }
        let known = EvictionPolicies.names.joined(separator: ", ")
        for (found, expected) in [
            (
                refusal { ($0.policy, $0.budget) = ("h20", .tokens(9)) },
                "there is no eviction policy 'h20', expected one of \(known)"
            ),
            (
                refusal { ($0.policy, $0.budget, $0.allocation) = ("tova", .tokens(9), .ada) },
                "--kv-allocate ada means nothing for 'tova'"
            ),
            (
                refusal { ($0.policy, $0.budget) = ("lm-infinite", .tokens(9)) },
                "there is no eviction policy 'lm-infinite': it caps distances at the training length, which no sequence "
                    + "exceeds; streaming-llm with --kv-sinks 10 keeps its slots; use one of \(known)"
            ),
            (
                refusal { $0.policy = "tova" },
                "--evict tova needs --kv-budget, slots such as 512 or a share of the prompt such as 25%"
            ),
            (refusal { $0.budget = .tokens(9) }, "--kv-budget means nothing without --evict; name a policy"),
            (refusal { $0.merge = "cam" }, "--kv-merge means nothing without --evict; name a policy"),
            (
                refusal { ($0.policy, $0.budget, $0.merge) = ("h2o", .tokens(9), "sum") },
                "there is no merge 'sum', expected one of cam, d2o, kvmerger"
            ),
            (refusal { $0.allocation = .pyramid }, "--kv-allocate means nothing without --evict; name a policy"),
            (
                refusal { ($0.policy, $0.budget, $0.pool) = ("knorm", .tokens(9), .average(5)) },
                "--kv-pool means nothing for 'knorm'"
            ),
            (
                refusal { ($0.policy, $0.budget, $0.interval) = ("snapkv", .tokens(99), 8) },
                "--kv-interval means nothing for 'snapkv'"
            ),
            (
                refusal { ($0.policy, $0.budget, $0.sinks, $0.window) = ("snapkv", .tokens(20), 4, 16) },
                "--kv-budget is 20, expected at least 21: 'snapkv' keeps 4 sinks and the newest 16, and one more"
            ),
            (
                refusal { ($0.policy, $0.budget, $0.interval) = ("tova", .tokens(20), 0) },
                "--kv-interval is 0, expected at least 1"
            ),
            (refusal { ($0.policy, $0.budget, $0.sinks) = ("tova", .tokens(20), -1) }, "--kv-sinks is -1, expected at least 0"),
        ] { #expect(found == expected) }
    }

    @Test func `budgets and pools are read as they are written`() {
        #expect(EvictionBudget("512") == .tokens(512) && EvictionBudget("25%") == .share(25))
        #expect(EvictionBudget("12.5%")?.description == "12.5%" && EvictionBudget("512")?.description == "512")
        for text in ["", "0", "-1", "%", "0%", "101%", "nan%", "1.5", "x"] { #expect(EvictionBudget(text) == nil) }
        #expect(ScorePool("5") == .average(5) && ScorePool("max7") == .max(7))
        for text in ["5", "max7"] { #expect(ScorePool(text)?.description == text) }
        for text in ["", "4", "max", "max4", "-1", "avg"] { #expect(ScorePool(text) == nil) }
    }
}
