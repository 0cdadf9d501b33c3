import Kernels
import Models

extension CacheView {
    /// Tokens of a chunk of the pass that finds the retained sets.
    private static let chunk = 256

    /// The view of `input` through a cache in `encoding` whose layers without a window have `retention`, each document a sequence whose
    /// first `prompt` tokens are its prompt.
    ///
    /// Retained sets are the serving cache's own: `model`, whose weights are those of the pass to come, reads the documents through it
    /// up to their last decision. Slots evicted behind a row are masked for all later rows.
    ///
    /// Throws ``InferenceError`` where the cache does not fit the model.
    public init(
        of input: ModelInput, _ model: ServingModel, _ encoding: CacheEncoding, _ retention: any Retention, prompt: Int
    ) throws(InferenceError) {
        try retention.check(model.config, prompt: prompt)
        self.init(model.config.kvGeometry(encoding), input)
        var cache = try PagedKVCache(
            config: model.config, encoding: encoding, retention: retention,
            pageBytes: PageSize.bytes(for: [model.config], encoding, under: retention), sequences: sequences.count,
            tokens: sequences.map(\.count).max() ?? 1, chunk: Self.chunk)
        let kvHeads = cache.layerStreams.map { streams in streams.reduce(0) { $0 + cache.layouts[$1].kvHeads } }
        var ends = RowEnds(input, sequences, kvHeads: kvHeads)
        for number in sequences.indices {
            cache.add(number)
            cache.setPromptLength(number, prompt)
        }
        while let step = nextStep(of: input, cache, prompt: prompt) {
            _ = model.logits(step, rows: [0], cache: &cache)
            for number in step.sequences { ends.record(number, cache.positions(of: number), tokens: cache.length(of: number)) }
        }
        rowEnds = cache.stores.map { ends.byStream[$0] }
    }

    /// The next tokens of each sequence that has a decision before its last token; nil where none has.
    private func nextStep(of input: ModelInput, _ cache: PagedKVCache, prompt: Int) -> RaggedBatch? {
        var (numbers, counts, tokens) = ([Int](), [Int](), [Int32]())
        for (number, rows) in sequences.enumerated() {
            let held = cache.length(of: number)
            guard let next = cache.tokensToDecision(number), held + next < rows.count else { continue }
            let count = min(next, Self.chunk, held < prompt ? prompt - held : .max)
            numbers.append(number)
            counts.append(count)
            tokens += input.tokens[rows.lowerBound + held..<rows.lowerBound + held + count]
        }
        return numbers.isEmpty ? nil : RaggedBatch(sequences: numbers, counts: counts, tokens: tokens)
    }
}

/// The rows behind which keys are evicted, as far as the sequences of a batch were read.
private struct RowEnds {
    /// For each stream the first row that no longer sees each key, [batch, kvHeads, seq]; nil for one that has evicted none.
    private(set) var byStream: [[Int32]?]
    private let kvHeads: [Int]
    private let sequences: [Range<Int>]
    private let batch: Int, seq: Int

    init(_ input: ModelInput, _ sequences: [Range<Int>], kvHeads: [Int]) {
        byStream = [[Int32]?](repeating: nil, count: kvHeads.count)
        (self.kvHeads, self.sequences, batch, seq) = (kvHeads, sequences, input.batch, input.seq)
    }

    /// Records the keys that sequence `number`, of `tokens` so far, has evicted: all but those at `positions`.
    mutating func record(_ number: Int, _ positions: [[[Int32]]], tokens: Int) {
        let (sequence, first) = sequences[number].lowerBound.quotientAndRemainder(dividingBy: seq)
        for (stream, heads) in positions.enumerated() where !heads.isEmpty {
            var ends = byStream[stream] ?? [Int32](repeating: Int32(seq), count: batch * kvHeads[stream] * seq)
            byStream[stream] = nil
            for (head, positions) in heads.enumerated() {
                let row = (sequence * kvHeads[stream] + head) * seq + first
                var kept = positions[...]
                for position in 0..<tokens {
                    if kept.first == Int32(position) {
                        kept.removeFirst()
                    } else if ends[row + position] == Int32(seq) {
                        ends[row + position] = Int32(first + tokens)
                    }
                }
            }
            byStream[stream] = ends
        }
    }
}
