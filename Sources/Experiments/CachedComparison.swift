import Evaluation
import Inference
import Kernels
import Models

extension Comparison {
    /// A model's perplexity on `text` through the paged cache, keys and values stored by `encoding` in pages of
    /// `pageBytes`, nil for what suits the model, with progress.
    public func scoreThroughCache(
        _ model: LoadedModel, _ text: EvaluationText, encoding: KVEncoding, pageBytes: Int? = nil,
        reporter: ProgressReporter
    ) throws -> PerplexityResult {
        let windows = try model.windows(text, try model.policy(window: window, stride: stride, bos: bos))
        let serving = try ServingModel(config: model.model.config, parameters: model.checkpoint.parameters)
        let pageBytes = pageBytes ?? PageSize.bytes(for: [serving.config], encoding)
        defer { reporter.clear() }
        return try Perplexity.evaluateThroughCache(serving, windows, encoding: encoding, pageBytes: pageBytes) { done in
            reporter.progress("\(model.name)  perplexity through the cache  window \(done)/\(windows.count)")
        }
    }
}
