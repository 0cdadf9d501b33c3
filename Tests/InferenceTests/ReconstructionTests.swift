import Kernels
import Models
import Synchronization
import TestSupport
import Testing

@testable import Inference

extension RepeatInstruction {
    /// An instruction in a vocabulary of few tokens.
    static let tiny = RepeatInstruction(first: [5, 9, 11], later: [7, 2], end: [1])
}

/// The second pass over a prompt, by which KVzip scores slots.
@Suite struct ReconstructionTests {
    private static let prompt = (0..<40).map { Int32($0 * 17 % 61) }

    private func config(_ design: TinyDesigns) throws -> ModelConfig {
        var config = try design.config
        config.maxSequence = 128
        return config
    }

    private func retention(chunk: Int, _ allocation: BudgetAllocation? = nil) throws -> EvictionRetention {
        var settings = EvictionSettings()
        settings.allocation = allocation
        var retention = try EvictionRetention(KVzip(reconstructedChunk: chunk), budget: .tokens(16), settings: settings)
        retention.instruction = .tiny
        return retention
    }

    @Test func `a prompt is repeated chunk by chunk behind an instruction and the last tokens of the chunk before`() {
        let prompt = (20..<45).map { Int32($0) }
        let passes = Reconstruction(chunk: 10, sinks: 4, instruction: .tiny).passes(over: prompt, positions: 1000)
        #expect(passes.map(\.chunk) == [0..<10, 10..<20, 20..<25])
        let heads: [[Int32]] = [[5, 9, 11, 1], [7, 2] + Array(22..<30) + [1], [7, 2] + Array(32..<40) + [1]]
        for (pass, head) in zip(passes, heads) { #expect(pass.tokens == head + prompt[pass.chunk]) }
    }

    @Test func `a chunk has as many tokens as the positions behind the prompt leave, and no fewer than 32`() {
        let reconstruction = Reconstruction(chunk: 2048, sinks: 4, instruction: .tiny)
        // Up to eleven tokens come before a chunk.
        let passes = reconstruction.passes(over: [Int32](repeating: 3, count: 100), positions: 160)
        #expect(passes.map(\.chunk) == [0..<49, 49..<98, 98..<100])
        #expect(reconstruction.room(prompt: 100, positions: 143) == 32 && reconstruction.room(prompt: 100, positions: 142) == nil)
        #expect(reconstruction.room(prompt: 10, positions: 31) == 10 && reconstruction.room(prompt: 10, positions: 30) == nil)
        #expect(reconstruction.room(prompt: 100, positions: 4096) == 2048)
    }

    /// Records the definition of peaks in a plain pass over a prompt of `length` tokens and the tokens of `pass` behind it.
    private struct Observer: Retention {
        let name = "observer"
        let inputs: RetentionInputs = .rows
        let length: Int
        let pass: Reconstruction.Pass
        let found: Peaks

        final class Peaks: Sendable {
            /// By layer and query head, the greatest weights of the prompt's slots.
            let values = Mutex<[[Int]: [Float]]>([:])
        }

        func nextDecision(after tokens: Int, prompt: Int) -> Int? { tokens < prompt ? prompt : nil }
        func mostRetained(at tokens: Int, prompt: Int) -> Int { tokens }
        func observed(_ tokens: Range<Int>, prompt: Int) -> Range<Int> { tokens.clamped(to: length..<Int.max) }
        func retained(_ stream: StreamState) -> RetainedSlots { .ranges([0..<stream.slots]) }

        func weigh(_ weights: inout [Float], of query: ObservedQuery) {
            let all = weights
            let slots = Array(pass.chunk) + Array(0..<min(4, pass.chunk.lowerBound)) + Array(length..<all.count)
            let sum = slots.reduce(Float(0)) { $0 + all[$1] }
            found.values.withLock { values in
                var peaks = values[[query.layer, query.head]] ?? [Float](repeating: 0, count: length)
                for slot in pass.chunk { peaks[slot] = max(peaks[slot], all[slot] / sum) }
                values[[query.layer, query.head]] = peaks
            }
        }
    }

    @Test(arguments: [TinyDesigns.gqa, .latentBiased, .crossLayer, .yoco, .hybrid], [2048, 16])
    func `peaks are the greatest weights of plain passes over the prompt and its repetition`(
        design: TinyDesigns, chunk: Int
    ) throws {
        let config = try config(design)
        let model = try ServingModel(config: config, parameters: TinyModel.parameters(config, deviation: 0.3))
        let (retention, prompt) = (try retention(chunk: chunk), Self.prompt)
        let found = Observer.Peaks()
        for pass in try #require(retention.reconstruction).passes(over: prompt, positions: config.maxSequence) {
            let tokens = prompt + pass.tokens
            var cache = try PagedKVCache(
                config: config, retention: Observer(length: prompt.count, pass: pass, found: found), pageBytes: 1024,
                tokens: tokens.count, chunk: tokens.count)
            cache.add(0)
            cache.setPromptLength(0, tokens.count)
            _ = model.logits(RaggedBatch(sequences: [0], counts: [tokens.count], tokens: tokens), cache: &cache)
        }
        let expected = found.values.withLock { $0 }
        for allocation in [BudgetAllocation.global, .uniform] {
            var cache = try PagedKVCache(
                config: config, retention: try self.retention(chunk: chunk, allocation), pageBytes: 1024, tokens: prompt.count,
                chunk: prompt.count)
            cache.retainsOnCommit = false
            cache.add(0)
            cache.setPromptLength(0, prompt.count)
            _ = model.logits(RaggedBatch(sequences: [0], counts: [prompt.count], tokens: prompt), cache: &cache)
            cache.reconstruct(0, prompt, by: model)
            let peaks = try #require(cache.peaks[0])
            var compared = 0
            for (layer, geometry) in cache.geometry.enumerated() where geometry.window == nil && geometry.source == nil {
                // The layers that read this one's cache, itself among them.
                let readers = cache.geometry.indices.filter { $0 == layer || cache.geometry[$0].source == layer }
                for (head, values) in peaks[cache.stores[layer]].enumerated() {
                    for (slot, value) in values.enumerated() {
                        let weights = readers.flatMap { reader in
                            let group = config.heads[reader] / geometry.kvHeads
                            return (head * group..<(head + 1) * group).compactMap { expected[[reader, $0]]?[slot] }
                        }
                        let greatest = try #require(weights.max())
                        #expect(abs(value - greatest) < 1e-5, "layer \(layer), head \(head), slot \(slot)")
                        compared += 1
                    }
                }
            }
            #expect(compared > 0)
        }
    }

    @Test(arguments: [TinyDesigns.gqa, .latentBiased, .crossLayer, .hybrid], [BudgetAllocation.global, .ada, .uniform])
    func `prompts repeated in chunks pass the gates`(design: TinyDesigns, allocation: BudgetAllocation) throws {
        let (config, scratch) = (try config(design), ScratchDirectory())
        let gates = try ExactnessGates(
            config: config, parameters: TinyModel.parameters(config), encoding: .int8, pageBytes: 512,
            tokens: (0..<60).map { Int32($0 * 17 % 61) }, decoded: 20, tier: FileTier(directory: scratch.path))
        for gate in try gates.run(evicting: retention(chunk: 16, allocation)) {
            #expect(gate.passes, "\(gate.name): \(gate.largestDifference)")
        }
    }
}
