import Inference
import Kernels
import Models
import Text

extension ChoiceScore {
    /// Scores `items` on the serving path, keys and values in the paged cache that `options` describe, whose prompt is each item's own.
    ///
    /// The tokens before an item's question are its prompt, at whose end evictions decide; with `isQueryAware` they decide before the
    /// last token of the question. Consecutive items with the same prompt share one pass of it, behind which their rows are computed on
    /// forks, `forks` at a time. The sums are those of ``evaluate(_:tokenizer:bosID:prefixID:_:batchTokens:progress:)`` where nothing is
    /// rounded or evicted.
    ///
    /// Throws ``ChoiceTaskError`` for an item that cannot be scored, ``InferenceError`` where the cache does not fit the model or the
    /// policy needs a prompt and an item has none.
    public static func evaluate(
        _ model: ServingModel, tokenizer: any Tokenizer, bosID: Int32?, prefixID: Int32?, _ items: [ChoiceItem],
        through options: EvaluationCache, isQueryAware: Bool = false, forks: Int = 8,
        progress: (_ done: Int, _ of: Int) throws -> Void = { _, _ in }
    ) throws -> ChoiceScore {
        let (rows, passes) = try rows(
            items, tokenizer: tokenizer, bosID: bosID, prefixID: prefixID, positions: model.config.maxSequence)
        var own: (item: Int, prompt: Int)?
        let prompts = passes.map { pass in
            let row = rows[pass[0]]
            if isQueryAware { return row.first - 1 }
            let prompt = own.flatMap { $0.item == row.item ? $0.prompt : nil } ?? items[row.item].prompt(of: row, tokenizer)
            own = (row.item, prompt)
            return min(prompt, row.first - 1)
        }
        if let retention = options.retention as? EvictionRetention, retention.needsPrompt, prompts.contains(0) {
            throw InferenceError.policyWithoutPrompt(policy: retention.name)
        }
        try options.retention.check(model)
        for prompt in Set(prompts) { try options.retention.check(model.config, prompt: prompt) }
        var cache = try PagedKVCache(
            config: model.config, encoding: options.encoding, retention: options.retention, pageBytes: options.pageBytes,
            sequences: forks + 1, tokens: rows.map(\.ids.count).max() ?? 1, chunk: options.chunk)
        var parts = [(sum: Double, isGreedy: Bool)](repeating: (0, true), count: rows.count)
        var (start, done, bytes) = (0, 0, 0)
        while start < passes.count {
            let prompt = rows[passes[start][0]].ids.prefix(prompts[start])
            let end =
                passes[start...].indices.first {
                    prompts[$0] != prompt.count || !rows[passes[$0][0]].ids.starts(with: prompt)
                } ?? passes.count
            cache.add(0)
            cache.setPromptLength(0, prompt.count)
            cache.read([prompt], as: 0, model, chunk: options.chunk) { _, _ in nil }
            for first in stride(from: start, to: end, by: forks) {
                let group = passes[first..<min(end, first + forks)]
                let unread = group.enumerated().map { place, pass in
                    cache.fork(0, as: place + 1)
                    let row = rows[pass[0]]
                    bytes +=
                        pass.count
                        * model.config.bytesHeld(
                            options.encoding, options.retention, tokens: row.ids.count - 1, context: prompt.count)
                    return row.ids[prompt.count..<row.ids.count - 1]
                }
                cache.read(unread, as: 1, model, chunk: options.chunk) { place, position in
                    let pass = group[first + place]
                    guard position >= rows[pass[0]].first - 1 else { return nil }
                    return { logProbabilities, likeliest in
                        for index in pass {
                            let id = rows[index].ids[position + 1]
                            parts[index].sum += Double(logProbabilities[Int(id)])
                            if likeliest != id { parts[index].isGreedy = false }
                        }
                    }
                }
                for place in group.indices { cache.remove(place - first + 1) }
                done += group.reduce(0) { $0 + $1.count }
                try progress(done, rows.count)
            }
            cache.remove(0)
            start = end
        }
        var score = ChoiceScore(items, parts)
        score.bytesHeld = Double(bytes) / Double(max(rows.count, 1))
        return score
    }
}

extension ChoiceItem {
    /// The tokens of one of its rows before the question.
    fileprivate func prompt(of row: ChoiceScore.Row, _ tokenizer: any Tokenizer) -> Int {
        guard promptBytes > 0 else { return 0 }
        // The first choice's row, whose text ends in that choice.
        let suffix = context.utf8.count - promptBytes + (choices.first?.utf8.count ?? 0)
        return PromptEncoder(tokenizer, bosID: nil).tokensBefore(suffix: suffix, of: row.ids)
    }
}

extension PagedKVCache {
    /// Computes the tokens `unread` of as many sequences, numbered from `number` on, together, in steps that end at chunks and decisions.
    ///
    /// - Parameter reader: the reader of the log-probabilities and the likeliest token behind a position of a sequence; nil where none is wanted.
    fileprivate mutating func read(
        _ unread: [ArraySlice<Int32>], as number: Int, _ model: ServingModel, chunk: Int,
        reader: (_ place: Int, _ position: Int) -> (([Float], Int32) -> Void)?
    ) {
        var unread = unread
        while unread.contains(where: { !$0.isEmpty }) {
            let places = unread.indices.filter { !unread[$0].isEmpty }
            let counts = places.map { min(unread[$0].count, chunk, tokensToDecision(number + $0) ?? .max) }
            let step = RaggedBatch(
                sequences: places.map { number + $0 }, counts: counts,
                tokens: zip(places, counts).flatMap { unread[$0].prefix($1) })
            var row: Int32 = 0
            var readers: [(row: Int32, read: ([Float], Int32) -> Void)] = []
            for (place, count) in zip(places, counts) {
                let range = unread[place].startIndex..<unread[place].startIndex + count
                for position in range {
                    if let read = reader(place, position) { readers.append((row, read)) }
                    row += 1
                }
                unread[place].removeFirst(count)
            }
            // A pass has one row of logits at least.
            let wanted = readers.isEmpty ? [row - 1] : readers.map(\.row)
            let logits = model.logits(step, rows: wanted, cache: &self)
            guard !readers.isEmpty else { continue }
            let width = model.config.vocabularySize
            let likeliest = LogitRows.argmax(logits, rows: wanted.count, width: width)
            for (index, reader) in readers.enumerated() {
                reader.read(LogitRows.logSoftmax(logits, row: index, width: width), likeliest[index])
            }
        }
    }
}
