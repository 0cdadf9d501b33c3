import Evaluation
import Inference
import Kernels
import Models

extension Comparison {
    /// A model's perplexity on `text` through the paged cache that `cache` describes, with progress.
    ///
    /// Throws ``NoTextBehindPrompt`` where no window is longer than the cache's prompt.
    public func scoreThroughCache(
        _ model: LoadedModel, _ text: EvaluationText, cache: EvaluationCache, reporter: ProgressReporter
    ) throws -> CachedPerplexity {
        var cache = cache
        cache.retention = cache.retention.instructed(by: model.tokenizer)
        let windows = try windows(model, text)
        let serving = try ServingModel(config: model.model.config, parameters: model.checkpoint.parameters)
        defer { reporter.clear() }
        let result = try CachedPerplexity.evaluate(serving, windows, through: cache) { done in
            reporter.progress("\(model.name)  perplexity through the cache  window \(done)/\(windows.count)")
        }
        if cache.prompt > 0, result.score.windows.isEmpty {
            throw NoTextBehindPrompt(prompt: cache.prompt, longest: windows.map(\.inputs.count).max() ?? 0)
        }
        return result
    }
}

/// No window has a token to score behind its prompt.
public struct NoTextBehindPrompt: Error, CustomStringConvertible {
    let prompt: Int
    let longest: Int

    /// The sentence for the user.
    public var description: String {
        "--prefill is \(prompt), the longest window has \(longest) tokens; nothing behind the prompt is left to score"
    }
}
