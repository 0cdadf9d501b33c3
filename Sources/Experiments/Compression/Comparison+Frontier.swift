import Evaluation
import Inference
import Kernels
import Models

extension Comparison {
    /// `models` through each of `caches` on `text`, the first model the parent of the others, and the figures that tasks are shown
    /// beside; the uncompressed cache in ``kvType`` is measured too.
    ///
    /// Windows and the cache sizes' context are those of ``window``; `prompt` is nil for half of it. One model beside the parent is in
    /// memory at a time, and logits of one chunk. Throws ``ExperimentError`` where a model cannot have a cache or has another tokenizer
    /// than the parent.
    public func frontier(
        _ models: [LoadedModel], _ text: EvaluationText, title: String, caches: [CacheSpec], prompt: Int?,
        reporter: ProgressReporter
    ) throws -> (frontier: CacheFrontier, quality: MeasuredQuality) {
        let grid = CacheGrid(
            caches.map { ($0, "--compression \($0)") }, encoding: kvType, window: window, prompt: prompt)
        for model in models { try grid.check(model.model.config, name: model.name, promptPlace: "--prefill") }
        var quality = MeasuredQuality(entries: [], full: CacheSpec(keepingAllIn: kvType))
        guard let first = models.first else { return (CacheFrontier([], text: title, grid: grid), quality) }
        for model in models.dropFirst() { try first.checkSameTokens(as: model) }
        let windows = try windows(first, text)
        let parent = try ServingModel(config: first.checkpoint.config, parameters: first.checkpoint.parameters)
        defer { reporter.clear() }
        var entries: [CacheFrontier.Entry] = []
        for (index, model) in models.enumerated() {
            let serving =
                index == 0
                ? parent : try ServingModel(config: model.checkpoint.config, parameters: model.checkpoint.parameters)
            var heads = HeadMeasurement(of: { model }, in: { text }, reporter: reporter)
            for cache in grid.caches {
                let cache = try heads.ranked(cache)
                let place = "\(entries.count + 1)/\(models.count * grid.caches.count)"
                let score = try grid.measure(
                    serving, first.tokenizer, through: cache, parent: index == 0 ? nil : parent, windows
                ) { window in
                    reporter.progress("\(place)  \(model.name)  \(cache)  window \(window)/\(windows.count)")
                }
                quality.entries.append(
                    MeasuredQuality.Entry(
                        model: index, cache: cache, bytesPerToken: score.cacheBytesPerToken, bitsPerByte: score.bitsPerByte,
                        windows: score.result))
                entries.append(
                    CacheFrontier.Entry(
                        model: Self.distinct(model.name, index, models), attention: model.model.config.attentionLabel,
                        parent: first.name, isParent: index == 0, seed: 0, cache: cache, score: score))
            }
        }
        return (CacheFrontier(entries, text: title, grid: grid), quality)
    }

    /// A model's name, with its place where another has the same.
    static func distinct(_ name: String, _ index: Int, _ models: [LoadedModel]) -> String {
        models[..<index].contains { $0.name == name } ? "\(name) (\(index + 1))" : name
    }
}

extension LoadedModel {
    /// Throws ``ExperimentError/tokenizers(_:_:)`` where `child` reads other tokens than this model: their predictions have no
    /// divergence.
    func checkSameTokens(as child: LoadedModel) throws(ExperimentError) {
        guard child.tokenizer.serialized == tokenizer.serialized,
            child.model.config.vocabularySize == model.config.vocabularySize
        else { throw .tokenizers(child.name, name) }
    }
}
