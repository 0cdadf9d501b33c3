import Files
import Foundation
import Inference
import Recipes

/// The recommended one of the measured caches.
extension Sweep {
    /// Adds the recommendations, one for each parent, to the tables of `result`, and writes the recipe of each recommended model.
    ///
    /// Where models were measured through compressed caches these are the candidates, else the models in the cache whose size is shown.
    func recommend(_ made: [Int: SweepRecipes.Made], _ result: inout Result) throws {
        let points = zip(scored(made), result.results.points).map { (step: $0, point: $1) }
        var found: [Recommendation] = []
        for parent in result.results.summaries where parent.point.kind == .parent {
            let own = points.filter { $0.point.parent == parent.point.parent }
            let recommendation =
                result.frontier.map { compressed($0, parent, own, made) } ?? uncompressed(result.results, parent, own, made)
            guard let recommendation else { continue }
            found.append(recommendation)
        }
        result.results.recommendations = found
        result.comparison?.recommendation = found.first
        result.frontier?.recommendations = found
    }

    private typealias Model = (step: Int, point: SweepPoint)

    /// The recommendation among models in the cache whose size is shown.
    private func uncompressed(
        _ results: SweepResults, _ parent: SweepSummary, _ models: [Model], _ made: [Int: SweepRecipes.Made]
    ) -> Recommendation? {
        let budgets = Set(results.points.map(\.budget).filter { $0 > 0 })
        let candidates = results.summaries.compactMap { summary -> Recommendation.Candidate? in
            guard summary.point.parent == parent.point.parent, summary.point.kind != .parent, let difference = summary.toParent,
                let model = models.first(where: { $0.point.folder == summary.point.folder }), let output = made[model.step]
            else { return nil }
            return Recommendation.Candidate(
                name: summary.point.longName(among: budgets), logicalBytesPerToken: summary.point.logicalBytesPerToken,
                allocatedBytesPerToken: summary.point.cacheBytesPerToken, bitsPerByte: summary.bitsPerByte.mean,
                difference: difference.mean,
                margin: summary.margin(difference, summary.point.standardError, results.pairing),
                make: makeCommand(model.step, made), serve: ShellLine.serve(output.model, CacheSpec(keepingAllIn: kvType)))
        }
        return Recommendation(
            parent: parent.name, bitsPerByte: parent.bitsPerByte.mean,
            allocatedBytesPerToken: parent.point.cacheBytesPerToken, among: candidates,
            withinPercent: lab.evaluation.withinPercent ?? LabRecipe.Evaluation.standardPercent, pairing: results.pairing)
    }

    /// The recommendation among models through compressed caches; nil where the parent was not measured in an uncompressed one.
    private func compressed(
        _ frontier: CacheFrontier, _ parent: SweepSummary, _ models: [Model], _ made: [Int: SweepRecipes.Made]
    ) -> Recommendation? {
        let budgets = Set(models.map(\.point.budget).filter { $0 > 0 })
        return frontier.recommendation(
            parent: parent.point.parent ?? "parent",
            withinPercent: lab.evaluation.withinPercent ?? LabRecipe.Evaluation.standardPercent
        ) { row, cache in
            guard let model = models.first(where: { $0.point.longName(among: budgets) == row.model }),
                let output = made[model.step]
            else { return nil }
            return (makeCommand(model.step, made), ShellLine.serve(output.model, cache))
        }
    }

    /// The place of the recipe that makes a step's model from its parent in one run.
    private func recipePath(_ index: Int) -> String { "\(directory)/make/\(steps[index].name.replacing(" ", with: "-")).json" }

    /// The command that makes a step's model from its parent; nil for a parent.
    private func makeCommand(_ index: Int, _ made: [Int: SweepRecipes.Made]) -> String? {
        guard makingRecipe(index, made) != nil else { return nil }
        let path = recipePath(index)
        return ShellLine.text(["kvlab", "train", path, "--out", (path as NSString).deletingPathExtension])
    }

    /// Writes the recipes that the commands of recommendations name.
    func writeRecipes(of result: Result, _ made: [Int: SweepRecipes.Made]) throws {
        let commands = Set(result.results.recommendations.compactMap { $0.choice?.make })
        for index in steps.indices {
            guard let command = makeCommand(index, made), commands.contains(command), let recipe = makingRecipe(index, made)
            else {
                continue
            }
            try FileManager.default.createDirectory(atPath: directory + "/make", withIntermediateDirectories: true)
            try TextFile.write(recipe.resolvedJSON + "\n", to: recipePath(index))
        }
    }

    /// The recipe of a step's model, a conversion and its uptraining in one; nil for a parent.
    private func makingRecipe(_ index: Int, _ made: [Int: SweepRecipes.Made]) -> Recipe? {
        let step = steps[index]
        guard [.child, .continued, .scratch].contains(step.kind), var recipe = recipes.resolve(step, made: made)?.recipe else {
            return nil
        }
        if step.kind == .child, let source = step.source, let parent = step.parent.flatMap({ made[$0] }) {
            recipe.`init` = InitRecipe(
                checkpoint: parent.model, convert: recipes.resolve(steps[source], made: made)?.recipe.`init`?.convert)
        }
        return recipe
    }
}

extension SweepPoint {
    /// Its name, with its tokens where those of `budgets` are several.
    func longName(among budgets: Set<Int>) -> String {
        name + (budgets.count > 1 && budget > 0 ? ", \(budgetName)" : "")
    }
}

extension CacheFrontier {
    /// The smallest cache within `withinPercent` of a parent's quality in its uncompressed cache; nil where that was not measured.
    ///
    /// - Parameter commands: makes and serves a row's model through its cache; nil leaves the row out.
    func recommendation(
        parent: String, withinPercent: Double, commands: (Row, CacheSpec) -> (make: String?, serve: String)?
    ) -> Recommendation? {
        let own = rows.filter { $0.parent == parent }
        guard let reference = own.first(where: { $0.difference == nil }) else { return nil }
        let candidates = own.compactMap { row -> Recommendation.Candidate? in
            guard let difference = row.difference, let cache = try? CacheSpec(row.cache), let lines = commands(row, cache) else {
                return nil
            }
            return Recommendation.Candidate(
                name: "\(row.model), \(row.eviction == "full" ? "" : row.eviction + " in ")\(row.kvDtype)",
                logicalBytesPerToken: row.logicalBytesPerToken ?? row.cacheBytesPerToken,
                allocatedBytesPerToken: row.cacheBytesPerToken, bitsPerByte: row.bitsPerByte, difference: difference,
                margin: row.margin, make: lines.make, serve: lines.serve)
        }
        return Recommendation(
            parent: "\(reference.model) in \(reference.kvDtype)", bitsPerByte: reference.bitsPerByte,
            allocatedBytesPerToken: reference.cacheBytesPerToken, among: candidates, withinPercent: withinPercent,
            pairing: pairing)
    }
}
