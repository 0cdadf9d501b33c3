import Evaluation
import Files
import Foundation
import Inference
import Models

/// An evaluation of a lab or a comparison on every model, its files read before anything is computed.
struct LabTask: Sendable {
    /// The evaluation as its user wrote it.
    let spec: EvaluationSpec
    let work: EvaluationWork
    /// The SHA-256 of each file that it is made from, by path.
    let files: [String: String]

    /// Reads the files of `spec`.
    ///
    /// - Parameter place: the key of the recipe or the option of a setting, nil for the evaluation as a whole, for ``ExperimentError``.
    init(_ spec: EvaluationSpec, place: (String?) -> String) throws {
        self.spec = spec
        do { work = try spec.make() } catch let fault as EvaluationFault {
            throw ExperimentError.recipe(key: place(fault.key), reason: fault.reason)
        }
        files = try work.files.reduce(into: [:]) { digests, path in
            let file = try RegularFile(path: path)
            digests[path] = try file.digest(of: [0..<file.count]).hex
        }
    }

    /// The name of the task in tables.
    var name: String {
        switch work {
        case .generation(let task, _): task.name
        case .choices(let set): set.name
        }
    }

    /// Examples for each model.
    var count: Int { work.count }

    /// Whether outputs are generated, a record for each, rather than choices scored.
    var isGenerated: Bool { if case .generation = work { true } else { false } }

    /// The options that records depend on.
    var options: [String: String] {
        switch work {
        case .generation(let task, _):
            task.options.merging(["query-aware": "\(spec.isQueryAware)", "chat": spec.chat]) { $1 }
        case .choices(let set): set.options.merging(["query-aware": "\(spec.isQueryAware)"]) { $1 }
        }
    }

    /// The hash of all that decides the scores of a model, whose content hash is `model`, through `cache`.
    func key(model: String, cache: CacheSpec) -> String {
        let words = options.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" } + files.map(\.value).sorted()
        let text = ([name, model, "\(cache)"] + words).joined(separator: "\n")
        return SHA256Digest(of: "kvlab task \(RecordFolder.format)\n\(text)").hex
    }

    /// Throws where caches decide before a question that nothing precedes.
    func check(_ caches: [CacheSpec], place: (String?) -> String) throws(ExperimentError) {
        guard !work.hasContext, !spec.isQueryAware, caches.contains(where: \.evicts) else { return }
        throw .recipe(
            key: place(nil),
            reason: "nothing precedes the questions of \(name), at whose beginning evictions would decide; set 'queryAware'")
    }

    /// Throws where the prompts of a grid cannot fit a model of `positions`, whatever its tokenizer.
    func check(positions: Int, name: String, place: (String?) -> String) throws(ExperimentError) {
        guard let needed = spec.aimedTokens, needed > positions else { return }
        throw .recipe(
            key: place("lengths"), reason: "prompts and outputs take \(needed) tokens, \(name) has \(positions) positions")
    }

    /// Throws the first prompt that cannot be made for `model`, or has more tokens than its positions.
    func check(_ model: LoadedModel) throws {
        guard case .generation(let task, _) = work else { return }
        let positions = model.model.config.maxSequence
        for example in try task.examples(PromptEncoder(model.tokenizer, bosID: model.bosID)) {
            // The last token is never stored.
            let needed = max(example.tokens.count + example.maxTokens - 1, example.leastTokens)
            guard needed <= positions else {
                throw LongContextError.positions(example.id, needed: needed, model: model.name, positions: positions)
            }
        }
    }
}
