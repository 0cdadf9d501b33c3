import Evaluation
import Inference
import Models

/// Tasks of a comparison, their files read and their prompts known to fit all its models.
public struct ComparisonTasks: Sendable {
    fileprivate let tasks: [LabTask]
    fileprivate let chats: LabTask.Chats

    /// Reads the files of `specs` and checks them with `models` and `caches`.
    ///
    /// Throws ``ExperimentError/recipe(key:reason:)`` with the offending option, and ``LongContextError`` for prompts that are too
    /// long.
    ///
    /// - Parameter chats: the templates of tasks whose `chat` is that policy; nil for none.
    public init(
        _ specs: [EvaluationSpec], models: [LoadedModel], caches: [CacheSpec],
        chats: @escaping @Sendable (_ policy: String) -> LongContextEvaluation.Chat? = { _ in nil }
    ) throws {
        self.chats = chats
        tasks = try specs.map { spec in
            let place = { (key: String?) in "--tasks \(spec.name)" + (key.map { ":\($0)" } ?? "") }
            let task = try LabTask(spec, place: place)
            try task.check(caches, place: place)
            for model in models { try task.check(model) }
            return task
        }
    }
}

/// Bits per byte of a comparison's models through its caches, beside which the scores of tasks are shown.
public struct MeasuredQuality: Sendable {
    /// One model through one cache.
    struct Entry {
        /// The model's place.
        var model: Int
        var cache: CacheSpec
        var bytesPerToken: Double
        var bitsPerByte: Double
        /// The windows of the text; nil where they were not kept.
        var windows: PerplexityResult?
    }

    var entries: [Entry]
    /// The cache of the reference.
    var full: CacheSpec
}

extension Comparison {
    /// The scores of `models`, which lie at `paths`, on `tasks`, through the caches of `quality` and beside its bits per byte.
    public func tasks(
        _ tasks: ComparisonTasks, models: [LoadedModel], paths: [String], quality: MeasuredQuality, text: String,
        reporter: ProgressReporter
    ) async throws -> TaskTable {
        var entries: [TaskTable.Entry] = []
        for (index, model) in models.enumerated() {
            let name = Self.distinct(model.name, index, models)
            let own = quality.entries.filter { $0.model == index }
            let subject = LabTask.Subject(name: name, hash: "", folder: nil, path: paths[index])
            var found: [[TaskScores]] = []
            for task in tasks.tasks {
                found.append(
                    try await task.scores(subject, own.map(\.cache), chats: tasks.chats, reporter: reporter) { false } ?? [])
            }
            for (place, measured) in own.enumerated() {
                entries.append(
                    TaskTable.Entry(
                        model: name, attention: model.model.config.attentionLabel, parent: models[0].name, isParent: index == 0,
                        seed: 0, cache: measured.cache, bytesPerToken: measured.bytesPerToken, bitsPerByte: measured.bitsPerByte,
                        quality: measured.windows,
                        scores: found.map { $0[place] }))
            }
        }
        return TaskTable(entries, tasks: tasks.tasks, full: quality.full, text: text)
    }
}
