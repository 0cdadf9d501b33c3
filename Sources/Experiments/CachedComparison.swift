import Evaluation
import Inference
import Kernels
import Models

extension Comparison {
    /// A model's perplexity on `text` through the paged cache, keys and values stored as `elementType`, with progress.
    public func scoreThroughCache(
        _ model: LoadedModel, _ text: EvaluationText, elementType: ElementType, pageBytes: Int = 16 << 10,
        reporter: ProgressReporter
    ) throws -> PerplexityResult {
        let windows = try model.windows(text, try model.policy(window: window, stride: stride, bos: bos))
        let serving = try ServingModel(config: model.model.config, parameters: model.checkpoint.parameters)
        defer { reporter.clear() }
        return try Perplexity.evaluateThroughCache(serving, windows, elementType: elementType, pageBytes: pageBytes) { done in
            reporter.progress("\(model.name)  perplexity through the cache  window \(done)/\(windows.count)")
        }
    }
}
