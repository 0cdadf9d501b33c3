import Inference
import Kernels
import Models

extension Perplexity {
    /// Scores `windows` on the serving path: weights in their element type, keys and values in a paged cache in `encoding`,
    /// chunked prefill of `chunk` tokens.
    public static func evaluateThroughCache(
        _ model: ServingModel, _ windows: [EvaluationWindow], encoding: KVEncoding, pageBytes: Int, chunk: Int = 256,
        progress: (Int) throws -> Void = { _ in }
    ) throws -> PerplexityResult {
        let config = model.config
        let longest = windows.map(\.inputs.count).max() ?? 1
        var cache = try PagedKVCache(
            config: config, encoding: encoding, pageBytes: pageBytes, tokens: longest, chunk: chunk)
        var result = PerplexityResult(windows: [], tokens: [])
        for (index, window) in windows.enumerated() {
            cache.add(index)
            var score = WindowScore(nll: 0, tokens: window.scoredTokens, bytes: window.scoredBytes)
            var scored = 0
            for start in stride(from: 0, to: window.inputs.count, by: chunk) {
                let range = start..<min(start + chunk, window.inputs.count)
                let step = RaggedBatch(sequences: [index], counts: [range.count], tokens: Array(window.inputs[range]))
                let logits = model.logits(step, rows: (0..<Int32(range.count)).map { $0 }, cache: &cache)
                let targets = Array(window.targets[range])
                let losses = Storage(count: range.count)
                CrossEntropy.rows(
                    logits: logits, targets: targets, rows: range.count, classes: config.vocabularySize, into: losses)
                for (target, loss) in zip(targets, losses.array()) where target >= 0 {
                    score.nll += Double(loss)
                    result.tokens.append((window.scoredEnds[scored], loss))
                    scored += 1
                }
            }
            cache.remove(index)
            result.windows.append(score)
            try progress(index + 1)
        }
        return result
    }
}
