import Evaluation
import Inference
import Models

extension LoadedModel {
    /// Scores `items` by likelihood through each of `caches` on the serving path, in pages of `pageBytes` or, by default, of a size
    /// that suits the model; evictions decide before the questions unless `isQueryAware`. `scored` gets the result of each cache.
    public func scoreChoices(
        _ items: [ChoiceItem], through caches: [CacheSpec], pageBytes: Int? = nil, isQueryAware: Bool,
        progress: (_ cache: CacheSpec, _ done: Int, _ of: Int) throws -> Void,
        scored: (_ cache: CacheSpec, _ score: ChoiceScore) throws -> Void
    ) throws {
        let serving = try ServingModel(config: model.config, parameters: checkpoint.parameters)
        for cache in caches {
            let retention = try cache.retention().instructed(by: tokenizer)
            let pages = pageBytes ?? PageSize.bytes(for: [model.config], cache.encoding, under: retention)
            let score = try ChoiceScore.evaluate(
                serving, tokenizer: tokenizer, bosID: bosID, prefixID: prefixID, items,
                through: EvaluationCache(encoding: cache.encoding, retention: retention, pageBytes: pages),
                isQueryAware: isQueryAware
            ) { done, count in try progress(cache, done, count) }
            try scored(cache, score)
        }
    }
}
