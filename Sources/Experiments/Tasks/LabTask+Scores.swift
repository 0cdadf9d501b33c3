import Evaluation
import Files
import Foundation
import Inference
import Models

extension LabTask {
    /// A model under evaluation: its name, its content hash, and where its records are kept, nil for nowhere.
    struct Subject {
        var name: String
        var hash: String
        var folder: String?
        /// The model's file.
        var path: String
    }

    /// The templates of chats by the policy of `--chat`; nil for none.
    typealias Chats = @Sendable (_ policy: String) -> LongContextEvaluation.Chat?

    /// The stored scores; nil where some are missing.
    func recorded(_ subject: Subject, _ cache: CacheSpec) throws -> TaskScores? {
        guard let path = path(subject, cache) else { return nil }
        guard isGenerated else { return TextFile.value(TaskScores.self, at: path) }
        guard FileManager.default.fileExists(atPath: path + "/run.json") else { return nil }
        let records = try folder(subject, cache, path).records
        return records.count == count && count > 0 ? TaskScores(records) : nil
    }

    private func path(_ subject: Subject, _ cache: CacheSpec) -> String? {
        subject.folder.map { "\($0)/task-\(key(model: subject.hash, cache: cache).prefix(12))" + (isGenerated ? "" : ".json") }
    }

    private func folder(_ subject: Subject, _ cache: CacheSpec, _ path: String) throws -> RecordFolder {
        let run = RecordFolder.Run(
            task: name, models: [.init(name: subject.name, sha256: subject.hash)], caches: ["\(cache)"], options: options,
            files: Dictionary(
                files.map { (URL(fileURLWithPath: $0.key).lastPathComponent, $0.value) }, uniquingKeysWith: { $0 + $1 }))
        return try RecordFolder(path: path, run: run)
    }

    /// The scores of a model through each of `caches`, in their order, stored ones not computed again; nil where `shouldStop`
    /// became true.
    func scores(
        _ subject: Subject, _ caches: [CacheSpec], chats: Chats, reporter: ProgressReporter, shouldStop: () -> Bool
    ) async throws -> [TaskScores]? {
        defer { reporter.clear() }
        switch work {
        case .generation(let task, let scoring):
            return try await generated(task, scoring, subject, caches, chats, reporter, shouldStop)
        case .choices(let set):
            return try chosen(set, subject, caches, reporter, shouldStop)
        }
    }

    private func chosen(
        _ set: EvaluationWork.ChoiceSet, _ subject: Subject, _ caches: [CacheSpec], _ reporter: ProgressReporter,
        _ shouldStop: () -> Bool
    ) throws -> [TaskScores]? {
        struct Stopped: Error {}
        var found = try caches.map { try recorded(subject, $0) }
        let missing = zip(caches, found).filter { $0.1 == nil }.map(\.0)
        guard !missing.isEmpty else { return found.compactMap { $0 } }
        do {
            try LoadedModel(name: subject.name, path: subject.path).scoreChoices(
                set.items, through: missing, isQueryAware: spec.isQueryAware
            ) { cache, done, count in
                if shouldStop() { throw Stopped() }
                reporter.progress("\(subject.name)  \(name)  \(cache)  \(done)/\(count) choices")
            } scored: { cache, score in
                let scores = TaskScores(score)
                if let path = path(subject, cache) { try TextFile.write(CanonicalJSON.text(of: scores) + "\n", to: path) }
                for place in caches.indices where caches[place] == cache { found[place] = scores }
            }
            return found.compactMap { $0 }
        } catch is Stopped { return nil }
    }

    private func generated(
        _ task: any GenerationTask, _ scoring: ScoringTask.Options, _ subject: Subject, _ caches: [CacheSpec], _ chats: Chats,
        _ reporter: ProgressReporter, _ shouldStop: () -> Bool
    ) async throws -> [TaskScores]? {
        struct Stopped: Error {}
        var found: [TaskScores] = []
        var loaded: (model: ServableModel, examples: [GenerationExample])?
        for cache in caches {
            if let scores = try recorded(subject, cache) {
                found.append(scores)
                continue
            }
            let model: ServableModel
            let examples: [GenerationExample]
            if let loaded {
                (model, examples) = loaded
            } else {
                model = try ServableModel(path: subject.path)
                let chat = try chats(spec.chat)?.writer(model, subject.name)
                examples = try task.examples(PromptEncoder(model.tokenizer, bosID: model.bosID, chat: chat))
                loaded = (model, examples)
            }
            var options = ExampleRunner.Options()
            (options.queryAware, options.scoring) = (spec.isQueryAware, scoring)
            // Room for three of the longest prompts that share nothing, and more where it is cheap.
            let longest = examples.map { max($0.tokens.count + $0.maxTokens, $0.mostTokens) }.max() ?? 0
            let bytes = model.config.kvBytes(cache.encoding, tokens: longest)
            options.cacheBytes = max(3 * bytes, min(options.cacheBytes, 16 * bytes), 4 << 20)
            let runner = try ExampleRunner(model, name: subject.name, spec: cache, options: options)
            let folder = try path(subject, cache).map { try self.folder(subject, cache, $0) }
            var records = folder?.records ?? []
            let outputs = Dictionary(records.map { ($0.id, $0.output) }, uniquingKeysWith: { first, _ in first })
            do {
                try await runner.run(examples.compactMap { try $0.remaining(outputs) }) { record in
                    try folder?.append(record)
                    records.append(record)
                    reporter.progress("\(subject.name)  \(name)  \(cache)  \(records.count)/\(count) examples")
                    if shouldStop() { throw Stopped() }
                }
            } catch is Stopped where records.count < count { return nil } catch is Stopped {}
            guard !records.isEmpty else { throw ExperimentError.nothingToScore }
            found.append(TaskScores(records))
        }
        return found
    }
}
