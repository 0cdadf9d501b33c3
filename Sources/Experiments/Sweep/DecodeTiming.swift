import Files
import Foundation
import Inference
import Kernels
import Models
import Recipes

/// Seconds of decoding a token on the paged cache, for several architectures in turn.
///
/// All sequences of a batch decode together, a token each a step, behind `context` tokens that the cache holds and, for comparison,
/// behind one: the difference is the time of reading the cache.
public struct DecodeTiming: Codable, Sendable, Hashable {
    /// One architecture's seconds for a token of one sequence, round by round.
    public struct Row: Codable, Sendable, Hashable {
        /// The model timed.
        public var name: String
        /// MHA, GQA-2, MQA.
        public var attention: String
        /// KV heads of its first layer; 0 where the attention is another.
        public var kvHeads: Int
        /// Cache bytes a token takes.
        public var kvBytesPerToken: Int
        /// Behind the full context.
        public var seconds: [Double]
        /// Behind one token.
        public var secondsWithoutContext: [Double]

        /// Share of the time that goes with the context: reading its keys and values.
        public var contextShare: Double {
            let (with, without) = (seconds.median, secondsWithoutContext.median)
            return with > 0 ? max(0, 1 - without / with) : 0
        }
    }

    /// The architectures, the parent first.
    public var rows: [Row]
    /// Sequences decoded at once.
    public var batch: Int
    /// Tokens before decoding begins.
    public var context: Int
    /// Tokens decoded for each sequence.
    public var tokens: Int
    /// Element type of the cache.
    public var kvDtype: String
    /// The machine.
    public var machine: String
    /// When, UTC.
    public var date: String

    /// Times `models` round by round, each once a round in turn; a round more goes before. Nil where `shouldStop` became true.
    static func measure(
        _ models: [(name: String, model: ServingModel)], _ timing: SweepRecipe.Timing, encoding: CacheEncoding,
        reporter: ProgressReporter, shouldStop: () -> Bool
    ) throws -> DecodeTiming? {
        var rows = models.map { name, model in
            Row(
                name: name, attention: model.config.attentionLabel, kvHeads: isPlain(model.config) ? model.config.kvHeads[0] : 0,
                kvBytesPerToken: model.config.kvBytesPerToken(encoding), seconds: [], secondsWithoutContext: [])
        }
        defer { reporter.clear() }
        for round in 0...timing.rounds {
            for (index, (name, model)) in models.enumerated() {
                if shouldStop() { return nil }
                reporter.progress("timing \(name)  round \(round)/\(timing.rounds)")
                let with = try seconds(model, timing, context: timing.context, encoding)
                let without = try seconds(model, timing, context: 1, encoding)
                guard round > 0 else { continue }
                rows[index].seconds.append(with)
                rows[index].secondsWithoutContext.append(without)
            }
        }
        return DecodeTiming(
            rows: rows, batch: timing.batch, context: timing.context, tokens: timing.tokens, kvDtype: encoding.name,
            machine: MachineDescription.text, date: MachineDescription.date)
    }

    private static func isPlain(_ config: ModelConfig) -> Bool {
        config.attentionShape == nil && config.keyValueSources == nil
            && (0..<config.layers).allSatisfy { config.window($0) == nil }
    }

    /// Seconds a token of one sequence takes, on the mean over all decoding steps.
    private static func seconds(
        _ model: ServingModel, _ timing: SweepRecipe.Timing, context: Int, _ encoding: CacheEncoding
    ) throws -> Double {
        let pageBytes = PageSize.bytes(for: [model.config], encoding)
        var cache = try PagedKVCache(
            config: model.config, encoding: encoding, pageBytes: pageBytes, sequences: timing.batch,
            tokens: context + timing.tokens, chunk: 256)
        // The token ids make no difference to the time.
        func token(_ index: Int) -> Int32 { Int32((index * 7919) % model.config.vocabularySize) }
        let sequences = Array(0..<timing.batch)
        for sequence in sequences {
            cache.add(sequence)
            for start in stride(from: 0, to: context, by: 256) {
                let count = min(256, context - start)
                _ = model.logits(
                    RaggedBatch(
                        sequences: [sequence], counts: [count], tokens: (start..<start + count).map { token($0 + sequence) }),
                    cache: &cache)
            }
        }
        let ones = sequences.map { _ in 1 }
        let clock = ContinuousClock()
        let start = clock.now
        for step in 0..<timing.tokens {
            _ = model.logits(
                RaggedBatch(sequences: sequences, counts: ones, tokens: sequences.map { token($0 + step) }), cache: &cache)
        }
        return (clock.now - start) / .seconds(1) / Double(timing.tokens * timing.batch)
    }
}
