import Checkpoints
import Evaluation
import Files
import Foundation
import Inference
import Kernels
import Models
import Recipes

/// Evaluating the models on the recipe's tasks.
extension Sweep {
    /// The table of every scored model on every task, through the cache whose size is shown and those of the recipe: none or one; nil
    /// where `shouldStop` became true.
    ///
    /// Each example is a line in the model's folder as it finishes: a killed call costs one of them.
    func tasks(
        _ made: [Int: SweepRecipes.Made], _ scores: [Int: SweepScore], _ points: [SweepPoint], shouldStop: () -> Bool
    ) async throws -> [TaskTable]? {
        guard !recipes.tasks.isEmpty else { return [] }
        let full = CacheSpec(keepingAllIn: kvType)
        let caches = recipes.taskCaches
        let budgets = Set(points.map(\.budget).filter { $0 > 0 })
        var entries: [TaskTable.Entry] = []
        for (index, point) in zip(scored(made), points) {
            let step = steps[index]
            guard let output = made[index], let parent = made[step.parent ?? index], let score = scores[index] else { continue }
            let subject = LabTask.Subject(
                name: step.name, hash: output.record.output, folder: output.folder, path: output.model)
            var heads = heads(step, output, parent)
            let ranked = try caches.map { try heads.ranked($0) }
            var found: [[TaskScores]] = []
            for task in recipes.tasks {
                guard
                    let own = try await task.scores(subject, ranked, chats: chats, reporter: reporter, shouldStop: shouldStop)
                else { return nil }
                found.append(own)
            }
            for (place, cache) in caches.enumerated() {
                let measured = recipes.grid.flatMap {
                    TextFile.value(CompressedScore.self, at: scorePath(step, output, parent, $0, cache))
                }
                entries.append(
                    TaskTable.Entry(
                        model: point.longName(among: budgets), attention: point.attention, parent: point.parent ?? "parent",
                        isParent: step.kind == .parent, seed: point.seed, uptrainSeed: point.uptrainSeed, cache: cache,
                        bytesPerToken: measured?.cacheBytesPerToken ?? point.cacheBytesPerToken,
                        bitsPerByte: measured?.bitsPerByte ?? point.bitsPerByte,
                        quality: measured.map(\.result) ?? score.result,
                        scores: found.map { $0[place] }))
            }
        }
        return [TaskTable(entries, tasks: recipes.tasks, full: full, text: text)]
    }

    /// The tasks to run, in words: a line, or none where the recipe lists none.
    func taskText(_ made: [Int: SweepRecipes.Made]) throws -> [String] {
        guard !recipes.tasks.isEmpty else { return [] }
        let models = steps.indices.filter { steps[$0].kind != .converted }
        let caches = recipes.taskCaches
        var (all, missing) = (0, 0)
        for index in models {
            for task in recipes.tasks {
                for cache in caches {
                    all += 1
                    guard let output = made[index] else {
                        missing += 1
                        continue
                    }
                    let subject = LabTask.Subject(
                        name: steps[index].name, hash: output.record.output, folder: output.folder, path: output.model)
                    if try task.recorded(subject, cache) == nil { missing += 1 }
                }
            }
        }
        return ["\(all) evaluations on tasks, \(missing) to run"]
    }
}
