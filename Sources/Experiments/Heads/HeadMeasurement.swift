import Evaluation
import Files
import Foundation
import Inference
import Models
import Random

/// The measurements of one model's heads that caches with whole heads need, each made once.
struct HeadMeasurement {
    private let model: () throws -> LoadedModel
    private let text: () throws -> EvaluationText
    /// The folder of the measurements' files, and the identity of model and text in their names; nil to keep no files.
    private let store: (folder: String, key: String)?
    private let reporter: ProgressReporter
    private var found: [String: HeadScores] = [:]

    /// Measurements of a `model`, passkeys hidden in `text`; both are asked for when something is measured.
    ///
    /// - Parameters:
    ///   - folder: the folder that measurements are kept in, nil for none.
    ///   - key: the identity of model and text.
    init(
        of model: @escaping () throws -> LoadedModel, in text: @escaping () throws -> EvaluationText, folder: String? = nil,
        key: String = "", reporter: ProgressReporter
    ) {
        (self.model, self.text, self.reporter) = (model, text, reporter)
        store = folder.map { ($0, key) }
    }

    /// The cache with the model's heads ranked, where it needs that.
    mutating func ranked(_ cache: CacheSpec) throws -> CacheSpec {
        guard let policy = cache.unmeasuredPolicy else { return cache }
        let gates = GateTraining(cache)
        let kind = policy == GateTraining.policy ? "\(policy) \(gates.sinks) \(gates.recent)" : policy
        if let known = found[kind] { return cache.ranked(by: known) }
        let path = store.map { "\($0.folder)/heads-\(SHA256Digest(of: "kvlab heads 1\n\(kind)\n\($0.key)").hex.prefix(12)).json" }
        if let path, FileManager.default.fileExists(atPath: path) {
            let scores = try HeadScores(path: path)
            found[kind] = scores
            return cache.ranked(by: scores)
        }
        defer { reporter.clear() }
        let model = try model()
        let scores =
            if policy == GateTraining.policy {
                try gates.scores(of: model, Self.haystack(text()), reporter: reporter)
            } else {
                try RepetitionScores.scores(
                    of: ServingModel(config: model.checkpoint.config, parameters: model.checkpoint.parameters))
            }
        if let path { try TextFile.write(CanonicalJSON.text(of: scores) + "\n", to: path) }
        found[kind] = scores
        return cache.ranked(by: scores)
    }

    /// Throws where the heads of a model of `config` cannot be measured for the cache.
    static func check(_ cache: CacheSpec, _ config: ModelConfig) throws {
        guard cache.unmeasuredPolicy == GateTraining.policy else { return }
        var gates = GateTraining(cache)
        gates.length = min(gates.length, config.maxSequence)
        try gates.check()
    }

    /// The beginning of a text, enough for passkeys to be hidden in many places.
    private static func haystack(_ text: EvaluationText) -> String {
        String(text.documents.joined(separator: "\n").prefix(1 << 20))
    }
}

extension GateTraining {
    /// The policy that gates are for.
    public static let policy = "duo-attention"

    /// Training for a cache, whose streaming heads have its sinks and newest tokens.
    init(_ cache: CacheSpec) {
        self.init(length: Self.length)
        (sinks, recent) = (cache.eviction.sinks ?? sinks, cache.eviction.recent ?? recent)
    }

    /// The scores of the heads of `model` for ``policy``, found on passkeys in `haystack`, in sequences of at most the model's positions.
    ///
    /// Throws as ``gates(of:_:progress:)`` does, and where the haystack is too short.
    public func scores(of model: LoadedModel, _ haystack: String, seed: UInt64 = 1, reporter: ProgressReporter) throws
        -> HeadScores
    {
        var training = self
        training.length = min(length, model.model.config.maxSequence)
        let gates = try training.gates(of: model, RecallDocuments(haystack: haystack, seed: seed)) { step, distance, mean in
            reporter.progress(
                "\(model.name)  gates  step \(step)/\(steps)  distance \(String(format: "%.5f", distance))  mean gate "
                    + String(format: "%.3f", mean))
        }
        let config = model.checkpoint.config
        let identity = try ServingModel(config: config, parameters: model.checkpoint.parameters).identity
        return HeadScores(
            method: Self.policy, model: identity, layers: HeadGates.layers(of: config).map(\.layer), scores: ["gate": gates])
    }
}

extension RepetitionScores {
    /// The policy that they are for.
    public static let policy = "razor-attention"
    /// Times that the words come.
    public static let times = 4

    /// The scores of the heads of `model` for ``policy``, on `count` random words, by default a quarter of its positions and at most 2,500.
    public static func scores(of model: ServingModel, count: Int? = nil, seed: UInt64 = 1) throws -> HeadScores {
        let count = count ?? min(2500, model.config.maxSequence / times)
        var generator = SeededGenerator(seed: seed, name: "heads")
        let words = (0..<count).map { _ in Int32(generator.uniform() * Double(model.config.vocabularySize)) }
        let found = try RepetitionScores(model, words: words, times: times)
        return HeadScores(
            method: policy, model: model.identity, layers: HeadGates.layers(of: model.config).map(\.layer),
            scores: ["echo": found.echo, "induction": found.induction])
    }
}
