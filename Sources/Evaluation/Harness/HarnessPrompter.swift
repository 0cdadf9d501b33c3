import JSON

/// The prompts of a task file: description, few-shot examples and a document's text, joined as the harness joins them.
struct HarnessPrompter: Sendable {
    /// The templates of a document's parts, a few-shot example's or the evaluated one's.
    private struct Templates: Sendable {
        var text: DocTemplate
        var target: DocTemplate
        var choice: DocTemplate?
        var targetDelimiter: String
        var fewshotDelimiter: String
    }

    /// The draws of few-shot examples, one after the other as documents are prompted.
    struct Sampler { fileprivate var random = PythonRandom(seed: 1234) }

    private let own: Templates
    private let shot: Templates
    private let description: DocTemplate?
    private let pool: [DataRecord]
    private let takesFirst: Bool
    /// Whether the few-shot examples are the evaluated documents, of which a prompt has not its own.
    private let drawsFromEvaluated: Bool
    private let hasSeveralTargets: Bool
    /// Few-shot examples of a prompt.
    let shots: Int

    init(
        _ file: HarnessFile, kind: HarnessTask.Kind, split: String, docs: [DataRecord], data: inout HarnessData, shots: Int?
    ) throws {
        func template(_ value: JSONValue?, _ key: String) throws(ScoringError) -> DocTemplate? {
            guard let value else { return nil }
            do throws(Fault) { return try DocTemplate(value) } catch {
                throw file.refused("'\(key)' \(error.reason)")
            }
        }
        guard let text = try template(file["doc_to_text"], "doc_to_text") else { throw file.refused("no 'doc_to_text'") }
        guard let target = try template(file["doc_to_target"], "doc_to_target") else { throw file.refused("no 'doc_to_target'") }
        let choice = try template(file["doc_to_choice"], "doc_to_choice")
        guard kind == .generation || choice != nil else { throw file.refused("a multiple choice without 'doc_to_choice'") }
        let own = Templates(
            text: text, target: target, choice: choice, targetDelimiter: try file.text("target_delimiter") ?? " ",
            fewshotDelimiter: try file.text("fewshot_delimiter") ?? "\n\n")
        self.own = own
        description = try template(file["description"], "description")
        let config = file["fewshot_config"]
        let known = [
            "sampler", "samples", "split", "doc_to_text", "doc_to_target", "doc_to_choice", "target_delimiter",
            "fewshot_delimiter",
        ]
        if let odd = config?.members?.first(where: { !known.contains($0.name) && $0.value != .null }) {
            throw file.refused("'fewshot_config' has '\(odd.name)', expected \(known.joined(separator: ", "))")
        }
        shot = Templates(
            text: try template(config?["doc_to_text"], "doc_to_text") ?? own.text,
            target: try template(config?["doc_to_target"], "doc_to_target") ?? own.target,
            choice: try template(config?["doc_to_choice"], "doc_to_choice") ?? own.choice,
            targetDelimiter: config?["target_delimiter"]?.string ?? own.targetDelimiter,
            fewshotDelimiter: config?["fewshot_delimiter"]?.string ?? own.fewshotDelimiter)
        let sampler = config?["sampler"]?.string ?? "default"
        guard ["default", "first_n"].contains(sampler) else {
            throw file.refused("the sampler '\(sampler)' is not one of default, first_n")
        }
        takesFirst = sampler == "first_n"
        let count = shots ?? file["num_fewshot"]?.int ?? 0
        guard (0...1000).contains(count) else { throw file.refused("'num_fewshot' is \(count), expected 0 to 1000") }
        self.shots = count
        let fewshotSplit = try config?["split"]?.string ?? file.text("fewshot_split")
        drawsFromEvaluated = try fewshotSplit == file.text("test_split")
        if count == 0 {
            pool = []
        } else if let fewshotSplit {
            pool = fewshotSplit == split ? docs : try data.docs(fewshotSplit)
        } else if let samples = config?["samples"] {
            guard let list = samples.array, list.allSatisfy({ $0.members != nil }) else {
                throw file.refused("'samples' is no list of objects")
            }
            pool = list.map { DataRecord(path: file.path, line: 1, json: $0) }
        } else if let other = try file.text("training_split") ?? file.text("validation_split") {
            pool = other == split ? docs : try data.docs(other)
        } else {
            pool = docs
        }
        let needed = count + (drawsFromEvaluated && !takesFirst ? 1 : 0)
        guard count == 0 || pool.count >= needed else {
            throw file.refused("\(needed) few-shot examples are drawn from \(pool.count)")
        }
        hasSeveralTargets = try kind == .generation && docs.first.map { try Self.target($0, own).array != nil } ?? false
        guard kind == .choice || choice == nil else {
            throw file.refused("'doc_to_choice' has no effect on generated outputs here")
        }
    }

    var sampler: Sampler { Sampler() }

    /// The string between a prompt and its continuation.
    var delimiter: String { own.targetDelimiter }

    var hasContext: Bool { shots > 0 || description != nil }

    /// A document's prompt, and the bytes of its own text at the end.
    func prompt(_ doc: DataRecord, _ sampler: inout Sampler) throws(ScoringError) -> (text: String, questionBytes: Int) {
        var prompt = try description?.text(doc) ?? ""
        for example in examples(doc, &sampler) { prompt += try turn(example) }
        let question = try own.text.text(doc)
        if own.choice != nil, !question.isEmpty, question.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
            throw doc.refused(
                "the text '\(question.prefix(20))' is a number: several inputs with one continuation are not supported")
        }
        return (prompt + question, question.utf8.count)
    }

    /// The turns of a chat, and the bytes of the document's text at the end of the last one: the description is the system's, few-shot
    /// examples are part of the user's text, or each a user's question and an assistant's answer.
    func turns(
        _ doc: DataRecord, _ sampler: inout Sampler, isMultiTurn: Bool
    ) throws(ScoringError) -> (turns: [ChatTurn], questionBytes: Int) {
        var (turns, text): ([ChatTurn], String) = ([], "")
        if let system = try description?.text(doc), !system.isEmpty { turns.append(ChatTurn(role: "system", content: system)) }
        for example in examples(doc, &sampler) {
            if isMultiTurn {
                turns.append(ChatTurn(role: "user", content: try shot.text.text(example)))
                turns.append(ChatTurn(role: "assistant", content: try answerText(example)))
            } else {
                text += try turn(example)
            }
        }
        let question = try own.text.text(doc)
        return (turns + [ChatTurn(role: "user", content: text + question)], question.utf8.count)
    }

    private func examples(_ doc: DataRecord, _ sampler: inout Sampler) -> [DataRecord] {
        guard shots > 0 else { return [] }
        let others = drawsFromEvaluated ? pool.filter { $0.json != doc.json } : pool
        if takesFirst { return Array(others.prefix(shots)) }
        guard drawsFromEvaluated else { return sampler.random.sample(pool.count, shots).map { pool[$0] } }
        let drawn = sampler.random.sample(pool.count, shots + 1).map { pool[$0] }.filter { $0.json != doc.json }
        if drawn.count >= shots { return Array(drawn.prefix(shots)) }
        // Documents that are equal were drawn: anew, from the others.
        return sampler.random.sample(others.count, min(shots, others.count)).map { others[$0] }
    }

    private func turn(_ example: DataRecord) throws(ScoringError) -> String {
        let (question, answer) = (try shot.text.text(example), try answerText(example))
        return answer.isEmpty ? question : question + shot.targetDelimiter + answer + shot.fewshotDelimiter
    }

    /// The answer of a few-shot example: its target, or the choice that this names.
    private func answerText(_ example: DataRecord) throws(ScoringError) -> String {
        let target = try Self.target(example, shot)
        if let choices = try shot.choice?.texts(example), let place = target.int {
            guard choices.indices.contains(place) else {
                throw example.refused("the target \(place) of \(choices.count) choices")
            }
            return choices[place]
        }
        if let first = target.array?.first?.string ?? target.string { return first }
        throw example.refused("the target of a few-shot example is no text")
    }

    /// A document's target: a text, a number, or a list of texts.
    private static func target(_ doc: DataRecord, _ templates: Templates) throws(ScoringError) -> JSONValue {
        let value = try templates.target.value(doc)
        guard let text = value.string, !templates.target.isColumn(doc) else { return value }
        if templates.choice != nil, !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let place = Int(text) {
            return .int(place)
        }
        if text.hasPrefix("["), text.hasSuffix("]"), let texts = PythonLiteral.texts(text) {
            return .array(texts.map { JSONValue.text($0) })
        }
        return value
    }

    /// The choices of a document.
    func choices(_ doc: DataRecord) throws(ScoringError) -> [String] {
        guard let texts = try own.choice?.texts(doc), !texts.isEmpty else { throw doc.refused("no choices") }
        return texts
    }

    /// The index of a document's right choice.
    func answer(_ doc: DataRecord, _ choices: [String]) throws(ScoringError) -> Int {
        let target = try Self.target(doc, own)
        let place = target.int ?? target.string.flatMap { text in choices.firstIndex { PythonText($0) == PythonText(text) } }
        guard let place, choices.indices.contains(place) else {
            throw doc.refused("the target \(target.text.prefix(40)) is none of the \(choices.count) choices")
        }
        return place
    }

    /// The references of a generated output.
    func references(_ doc: DataRecord) throws(ScoringError) -> [String] {
        let target = try Self.target(doc, own)
        if hasSeveralTargets, let texts = target.array?.map(\.string) as? [String], !texts.isEmpty { return texts }
        guard target.array == nil, let text = target.string ?? target.int.map({ "\($0)" }) else {
            throw doc.refused("the target \(target.text.prefix(40)) is no text")
        }
        return [text]
    }
}
