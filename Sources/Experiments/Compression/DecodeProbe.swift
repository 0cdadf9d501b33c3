import Evaluation
import Inference
import Models

/// Decoding behind a prompt through a compressed cache, a token a step: the most that the cache holds, and its speed.
///
/// Sequences decode together, each the same text in pages of its own. Between two decisions of an eviction a sequence grows beyond its
/// budget: a server has to provide the peak.
struct DecodeProbe {
    /// Sequences that decode together.
    static let sequences = 8

    /// Bytes of a sequence's pages, and of sidecars (positions, attention mass, statistics), at the step of their peak sum.
    private(set) var allocatedBytes = 0, sidecarBytes = 0
    /// Bytes of the keys and values in the pages at that step.
    private(set) var logicalBytes = 0
    /// Tokens a second of all sequences: the median step of the second half, where sequences are as long as the text.
    private(set) var tokensPerSecond = 0.0

    /// Decodes `ids` behind the prompt that `options` say, which is shorter.
    static func run(_ model: ServingModel, _ ids: [Int32], through options: EvaluationCache) throws -> DecodeProbe {
        var cache = try PagedKVCache(
            config: model.config, encoding: options.encoding, retention: options.retention, pageBytes: options.pageBytes,
            sequences: sequences, tokens: ids.count, chunk: options.chunk)
        let all = Array(0..<sequences)
        for sequence in all {
            cache.add(sequence)
            cache.setPromptLength(sequence, options.prompt)
            var start = 0
            while start < options.prompt {
                let count = min(options.chunk, options.prompt - start, cache.tokensToDecision(sequence) ?? .max)
                let part = Array(ids[start..<start + count])
                _ = model.logits(RaggedBatch(sequences: [sequence], counts: [count], tokens: part), cache: &cache)
                start += count
            }
        }
        var probe = DecodeProbe()
        var seconds: [Double] = []
        let (ones, clock) = (all.map { _ in 1 }, ContinuousClock())
        for id in ids[options.prompt...] {
            let start = clock.now
            _ = model.logits(RaggedBatch(sequences: all, counts: ones, tokens: all.map { _ in id }), cache: &cache)
            seconds.append((clock.now - start) / .seconds(1))
            let held = cache.bytesHeld
            let (pages, sidecar) = (held.allocated / sequences, cache.sidecarBytes(of: 0))
            let peak = probe.allocatedBytes + probe.sidecarBytes
            if pages + sidecar > peak { (probe.allocatedBytes, probe.sidecarBytes, probe.logicalBytes) = (pages, sidecar, 0) }
            // Pages are fullest at the last of equal peaks.
            if pages + sidecar >= peak { probe.logicalBytes = max(probe.logicalBytes, held.logical / sequences) }
        }
        probe.tokensPerSecond = Double(sequences) / max(seconds.suffix((seconds.count + 1) / 2).median, 1e-9)
        return probe
    }
}
