import Checkpoints
import Evaluation
import Files
import Foundation
import Inference

/// Evaluates models with caches on a task of long contexts.
public struct LongContextEvaluation: Sendable {
    private let task: any GenerationTask
    private let models: [String]
    private let tokenizerPath: String?
    private let caches: [CacheSpec]
    private let options: ExampleRunner.Options
    private let out: String?
    private let chat: Chat?

    /// Chat templates around the prompts.
    public struct Chat: Sendable {
        /// The value of `--chat`, on which the records depend.
        var name: String
        /// A model's template by the model's name; nil for none.
        var writer: @Sendable (_ model: ServableModel, _ name: String) throws -> ChatWriter?

        /// Templates that `writer` makes, by the name of the policy.
        public init(name: String, writer: @escaping @Sendable (_ model: ServableModel, _ name: String) throws -> ChatWriter?) {
            (self.name, self.writer) = (name, writer)
        }
    }

    /// The evaluation of the models in the files `models` with each of `caches`; records go to the folder `out`, if it is named.
    public init(
        task: any GenerationTask, models: [String], tokenizerPath: String? = nil, caches: [CacheSpec],
        options: ExampleRunner.Options,
        out: String?, chat: Chat? = nil
    ) {
        self.chat = chat
        (self.task, self.models, self.tokenizerPath) = (task, models, tokenizerPath)
        (self.caches, self.options, self.out) = (caches, options, out)
    }

    /// Runs the examples without a record in the folder; each record is on disk before the next example is begun, and then `finished` gets it.
    public func run(
        reporter: ProgressReporter, finished: (ExampleRecord) throws -> Void = { _ in }
    ) async throws -> LongContextSummary {
        let names = models.map(ModelImport.distinctName(of:))
        for (index, name) in names.enumerated() where names[..<index].contains(name) { throw LongContextError.ambiguous(name) }
        let folder = try out.map { path in
            let files = try (task.files + (tokenizerPath.map { [$0] } ?? [])).map { path in
                let file = try RegularFile(path: path)
                return (URL(fileURLWithPath: path).lastPathComponent, try file.digest(of: [0..<file.count]).hex)
            }
            return try RecordFolder(
                path: path,
                run: RecordFolder.Run(
                    task: task.name, models: try zip(names, models).map { try .init(name: $0, path: $1) },
                    caches: caches.map(\.description),
                    options: task.options.merging(
                        ["query-aware": "\(self.options.queryAware)"].merging(chat.map { ["chat": $0.name] } ?? [:]) { $1 }
                    ) { $1 },
                    files: Dictionary(files, uniquingKeysWith: { $0 + $1 })))
        }
        var records = folder?.records ?? []
        var progress = LongContextProgress(reporter, total: task.count * models.count * caches.count, done: records)
        defer { reporter.clear() }
        for (name, path) in zip(names, models) {
            let isDone = caches.allSatisfy { cache in
                records.count { $0.model == name && $0.cache == "\(cache)" } == task.count
            }
            if isDone { continue }
            let model = try ServableModel(path: path, tokenizerPath: tokenizerPath)
            let examples = try task.examples(
                PromptEncoder(model.tokenizer, bosID: model.bosID, chat: try chat?.writer(model, name)))
            for cache in caches {
                let own = records.lazy.filter { $0.model == name && $0.cache == "\(cache)" }.map { ($0.id, $0.output) }
                let outputs = Dictionary(own, uniquingKeysWith: { first, _ in first })
                let runner = try ExampleRunner(model, name: name, spec: cache, options: options)
                // Before the first is run, so that nothing is found too long after an hour.
                try runner.check(examples)
                try await runner.run(examples.compactMap { try $0.remaining(outputs) }) { record in
                    try folder?.append(record)
                    records.append(record)
                    try finished(record)
                    progress.add(record)
                }
            }
        }
        let summary = LongContextSummary(
            task: task.name, models: names, caches: caches.map(\.description), records: records)
        try folder?.write(summary)
        return summary
    }
}

/// Examples done of all, the running score, tokens a second and the time left.
struct LongContextProgress {
    private let reporter: ProgressReporter
    private let total: Int
    private var done: Int
    /// Records with a score, and the sum of their scores.
    private var scored: Int, right: Double
    /// Examples and prompt tokens of this call.
    private var fresh = 0, tokens = 0
    private let start = ContinuousClock.now

    init(_ reporter: ProgressReporter, total: Int, done: [ExampleRecord]) {
        (self.reporter, self.total) = (reporter, total)
        self.done = done.count
        scored = done.count(where: \.isScored)
        right = done.reduce(0) { $0 + $1.score }
    }

    mutating func add(_ record: ExampleRecord) {
        done += 1
        fresh += 1
        tokens += record.promptTokens
        scored += record.isScored ? 1 : 0
        right += record.score
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let left = seconds / Double(fresh) * Double(max(0, total - done))
        let (done, total, share, speed) = (done, total, right / Double(max(1, scored)), Double(tokens) / max(seconds, 1e-9))
        reporter.progress(
            isLast: done == total,
            "\(done)/\(total) examples  \(record.model) \(record.cache)  score \(String(format: "%.3f", share))  "
                + "\(Int(speed)) prompt tokens/s  ETA \(ProgressReporter.duration(left))")
    }
}
