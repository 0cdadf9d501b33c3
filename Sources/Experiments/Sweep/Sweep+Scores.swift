import Evaluation
import Foundation
import Inference
import Kernels
import Models

/// Scoring the models on the held-out text.
extension Sweep {
    /// A seed's parent and the text it is scored on, kept while its children are.
    struct ScoringContext {
        var hash: String
        var model: LoadedModel
        var text: EvaluationText
        var comparison: Comparison
    }

    func score(
        _ step: SweepStep, _ output: SweepRecipes.Made, _ parent: SweepRecipes.Made, _ context: inout ScoringContext?
    ) throws -> SweepScore {
        let key = recipes.scoreKey(
            step, model: output.record.output, parent: parent.record.output, text: recipes.scoredText)
        let path = "\(output.folder)/score-\(key.prefix(12)).json"
        if let score = SweepScore.read(path) { return score }
        if context?.hash != parent.record.output { context = nil }
        let scoring = try context ?? self.context(step, parent)
        context = scoring
        let isParent = step.kind == .parent
        let model = isParent ? scoring.model : try LoadedModel(name: step.name, path: output.model)
        // A parent that is no recipe's is first seen here.
        try model.model.config.kvGeometry(kvType).check(kvType)
        let result = try scoring.comparison.score(model, scoring.text, reporter: reporter)
        let score = SweepScore(
            scoring.comparison.row(step.name, model.model.config, result), result,
            cache: measuredCache(model, scoring),
            klDivergence: isParent
                ? nil : try scoring.comparison.divergence(scoring.model, model, scoring.text, reporter: reporter))
        try TextFile.writeLine(score, to: path)
        reporter.line(String(format: "%@  %.4f bits per byte", step.name, result.bitsPerByte))
        return score
    }

    func context(_ step: SweepStep, _ parent: SweepRecipes.Made) throws -> ScoringContext {
        let model = try LoadedModel(path: parent.model)
        let comparison = comparison(
            window: min(lab.evaluation.window, model.model.config.maxSequence), bos: model.bosID == nil ? .never : .always)
        var recipe = self.recipe
        recipe.seed = step.seed
        let text = try recipes.evaluated?.text ?? recipes.corpus.validationText(recipe)
        try recipes.corpus.checkUnchanged()
        return ScoringContext(hash: parent.record.output, model: model, text: text, comparison: comparison)
    }

    /// A comparison with the cache sizes that the recipe wants shown.
    func comparison(window: Int = 256, bos: WindowPolicy.BOS? = nil) -> Comparison {
        var comparison = Comparison(window: window, bos: bos)
        (comparison.contextTokens, comparison.batch) = (lab.evaluation.contextTokens, lab.evaluation.batch)
        comparison.kvType = kvType
        return comparison
    }

    var kvType: CacheEncoding { lab.evaluation.encoding }

    /// The cache of one sequence of the text, as long as the model and the recipe allow; nil where the engine can't serve the model.
    private func measuredCache(_ model: LoadedModel, _ scoring: ScoringContext) -> MeasuredCache? {
        let tokens = min(model.model.config.maxSequence, lab.evaluation.contextTokens)
        // A token is seldom longer than this.
        let beginning = scoring.text.documents.joined(separator: "\n").utf8.prefix(32 * tokens)
        let ids = model.tokenizer.encode(String(decoding: beginning, as: UTF8.self)).prefix(tokens)
        guard !ids.isEmpty,
            let serving = try? ServingModel(config: model.checkpoint.config, parameters: model.checkpoint.parameters)
        else { return nil }
        return try? MeasuredCache.measure(serving, ids: Array(ids), encoding: kvType)
    }
}
