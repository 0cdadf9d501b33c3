import Evaluation
import Inference
import Models

extension LoadedModel {
    /// Scores `items` by likelihood through each of `caches` on the serving path, in pages of `pageBytes` or, by default, of a size
    /// that suits the model; evictions decide before the questions unless `isQueryAware`.
    public func scoreChoices(
        _ items: [ChoiceItem], through caches: [CacheSpec], pageBytes: Int? = nil, isQueryAware: Bool,
        progress: (_ cache: CacheSpec, _ done: Int, _ of: Int) throws -> Void
    ) throws -> [ChoiceScore] {
        let serving = try ServingModel(config: model.config, parameters: checkpoint.parameters)
        return try caches.map { cache in
            let retention = try cache.retention().instructed(by: tokenizer)
            let pages = pageBytes ?? PageSize.bytes(for: [model.config], cache.encoding, under: retention)
            return try ChoiceScore.evaluate(
                serving, tokenizer: tokenizer, bosID: bosID, prefixID: prefixID, items,
                through: EvaluationCache(encoding: cache.encoding, retention: retention, pageBytes: pages),
                isQueryAware: isQueryAware
            ) { done, count in try progress(cache, done, count) }
        }
    }
}
