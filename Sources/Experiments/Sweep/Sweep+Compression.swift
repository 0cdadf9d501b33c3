import Checkpoints
import Evaluation
import Foundation
import Inference
import Models
import Text

/// Measuring the models through compressed caches.
extension Sweep {
    /// The frontier of every scored model through every cache of the recipe, earlier measurements reused: none or one table; nil where
    /// `shouldStop` became true.
    ///
    /// Each measurement of a model and a cache is a file in the model's folder: a killed call loses one measurement, and a longer list of
    /// caches adds its new ones. `points` has the point of each step of ``scored(_:)``, in that order.
    func frontier(
        _ made: [Int: SweepRecipes.Made], _ points: [SweepPoint], shouldStop: () -> Bool
    ) throws -> [CacheFrontier]? {
        guard let grid = recipes.grid else { return [] }
        let measured = scored(made)
        let budgets = Set(points.map(\.budget).filter { $0 > 0 })
        let names = Dictionary(uniqueKeysWithValues: zip(measured, points.map { $0.longName(among: budgets) }))
        var entries: [CacheFrontier.Entry] = []
        var context: MeasuringContext?
        var done = 0
        for (index, point) in zip(measured, points) {
            let step = steps[index]
            guard let output = made[index], let parent = made[step.parent ?? index] else { continue }
            var model: ServingModel?
            var heads = heads(step, output, parent)
            for cache in grid.caches {
                let path = scorePath(step, output, parent, grid, cache)
                var score = TextFile.value(CompressedScore.self, at: path)
                if score == nil {
                    if context?.hash != parent.record.output { context = try MeasuringContext(self, step, parent) }
                    guard let context else { continue }
                    let own = try step.kind == .parent ? context.parent : model ?? servingModel(output)
                    model = own
                    let name = "\(done + 1)/\(measured.count * grid.caches.count)  \(step.name)  \(cache)"
                    score = try measure(
                        own, heads.ranked(cache), grid, context, parent: step.kind == .parent ? nil : context.parent, name,
                        shouldStop)
                    guard let score else { return nil }
                    try TextFile.writeLine(score, to: path)
                    reporter.line(
                        String(
                            format: "%@  KL %.5f  %.1f bytes a token", "\(step.name)  \(cache)", score.klToParent,
                            score.cacheBytesPerToken))
                }
                guard let score else { continue }
                done += 1
                entries.append(
                    CacheFrontier.Entry(
                        model: point.longName(among: budgets), attention: point.attention, parent: point.parent ?? "parent",
                        isParent: step.kind == .parent, seed: point.seed, uptrainSeed: point.uptrainSeed, cache: cache,
                        plain: cache == step.through ? plain(step).flatMap { names[$0] } : nil, score: score))
            }
        }
        return [CacheFrontier(entries, text: text, grid: grid)]
    }

    /// The measurement of a made model's heads, kept in its folder.
    func heads(_ step: SweepStep, _ output: SweepRecipes.Made, _ parent: SweepRecipes.Made) -> HeadMeasurement {
        HeadMeasurement(
            of: { try LoadedModel(name: step.name, path: output.model) }, in: { try context(step, parent).text },
            folder: output.folder, key: "\(output.record.output) \(parent.record.output) \(recipes.scoredText)",
            reporter: reporter)
    }

    /// The number of the step that uptrains the same child on the same tokens without a compressed cache.
    private func plain(_ step: SweepStep) -> Int? {
        steps.firstIndex {
            $0.kind == .child && $0.through == nil && $0.source == step.source && $0.length == step.length
        }
    }

    /// The steps of ``SweepPoint/all(_:made:scores:store:isListed:)``: all models but conversions before their training.
    func scored(_ made: [Int: SweepRecipes.Made]) -> [Int] {
        steps.indices.filter { steps[$0].kind != .converted && made[$0] != nil }
    }

    /// The figures to measure, in words: a line, or none where the recipe lists no caches.
    func measurementText(_ made: [Int: SweepRecipes.Made]) -> [String] {
        guard let grid = recipes.grid else { return [] }
        let models = steps.indices.filter { steps[$0].kind != .converted }
        let missing = models.reduce(0) { count, index in
            guard let output = made[index], let parent = made[steps[index].parent ?? index] else {
                return count + grid.caches.count
            }
            return count
                + grid.caches.count {
                    TextFile.value(CompressedScore.self, at: scorePath(steps[index], output, parent, grid, $0)) == nil
                }
        }
        return ["\(models.count) models through \(grid.caches.count) caches, \(missing) of both to measure"]
    }

    func scorePath(
        _ step: SweepStep, _ output: SweepRecipes.Made, _ parent: SweepRecipes.Made, _ grid: CacheGrid, _ cache: CacheSpec
    ) -> String {
        let key = recipes.compressionKey(
            step, model: output.record.output, parent: parent.record.output, text: recipes.scoredText, grid: grid, cache: cache)
        return "\(output.folder)/compression-\(key.prefix(12)).json"
    }

    /// A parent ready to be served and its windows of text, kept while its children are measured.
    private struct MeasuringContext {
        var hash: String
        var parent: ServingModel
        var windows: [EvaluationWindow]
        /// The tokenizer of the windows.
        var tokenizer: any Tokenizer

        init(_ sweep: Sweep, _ step: SweepStep, _ parent: SweepRecipes.Made) throws {
            let scoring = try sweep.context(step, parent)
            hash = parent.record.output
            windows = try scoring.comparison.windows(scoring.model, scoring.text)
            tokenizer = scoring.model.tokenizer
            self.parent = try ServingModel(
                config: scoring.model.checkpoint.config, parameters: scoring.model.checkpoint.parameters)
        }
    }

    private func servingModel(_ output: SweepRecipes.Made) throws -> ServingModel {
        let checkpoint = try Checkpoint.load(output.model, trainingState: false)
        return try ServingModel(config: checkpoint.config, parameters: checkpoint.parameters)
    }

    /// One measurement; nil where `shouldStop` became true.
    private func measure(
        _ model: ServingModel, _ cache: CacheSpec, _ grid: CacheGrid, _ context: MeasuringContext, parent: ServingModel?,
        _ name: String, _ shouldStop: () -> Bool
    ) throws -> CompressedScore? {
        struct Stopped: Error {}
        defer { reporter.clear() }
        do {
            return try grid.measure(
                model, context.tokenizer, through: cache, parent: parent, context.windows
            ) { window in
                if shouldStop() { throw Stopped() }
                reporter.progress("\(name)  window \(window)/\(context.windows.count)")
            }
        } catch is Stopped {
            return nil
        } catch let error as NoTextBehindPrompt {
            throw ExperimentError.recipe(
                key: "lab.evaluation.prefill",
                reason: "\(error.prompt) tokens, the longest window of the text has \(error.longest)")
        }
    }
}
