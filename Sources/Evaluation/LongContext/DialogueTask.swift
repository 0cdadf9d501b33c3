import JSON

/// Conversations of scripted user turns, each answered by the model after its own answers to the turns before.
///
/// A turn is a request whose prompt is the whole conversation so far in the model's chat format, as a client of the server sends
/// it; the prefix cache holds the turns before.
public struct DialogueTask: GenerationTask {
    private struct Turn {
        var user: String
        var references: [String]
        var rule: ScoringTask
        var classes: [String]
        var maxTokens: Int
    }

    private struct Conversation {
        var id: String
        var system: String?
        var turns: [Turn]
    }

    private let conversations: [Conversation]
    public let options: [String: String]
    public let files: [String]
    /// The rules of the scores, by their names.
    public var rules: [String] { Array(Set(conversations.flatMap { $0.turns.map(\.rule.name) })).sorted() }

    /// Most tokens of an answer, unless set otherwise.
    public static let maxTokens = 128

    /// Reads the first `limit` conversations of the file `data`, a JSON object a line: `id`, `turns`, a list of objects with `user`
    /// and, where the answer is scored, `references`; and, if need be, `system`. A turn, or the conversation for all of its turns,
    /// names the rule of the score as a line of predictions does, `dataset` or `task`, with `all_classes` where the rule needs them.
    /// `maxTokens` is the most tokens of an answer.
    ///
    /// Throws `FileError`, or ``ScoringError`` naming file and line.
    public init(data: String, limit: Int? = nil, maxTokens: Int? = nil) throws {
        let most = maxTokens ?? Self.maxTokens
        var ids: Set<String> = []
        conversations = try DataRecord.lines(data).prefix(limit ?? .max).map { record in
            let conversation = try Self.conversation(record, maxTokens: most)
            guard ids.insert(conversation.id).inserted else {
                throw record.refused("a second conversation with the id '\(conversation.id)'")
            }
            return conversation
        }
        guard conversations.contains(where: { $0.turns.contains { !$0.references.isEmpty } }) else {
            throw ScoringError.file(data, line: 1, reason: "no turn has 'references'")
        }
        var options = ["max-new": "\(most)"]
        if let limit { options["limit"] = "\(limit)" }
        (self.options, files) = (options, [data])
    }

    private static func conversation(_ record: DataRecord, maxTokens: Int) throws -> Conversation {
        guard let turns = record.json["turns"]?.array, !turns.isEmpty else {
            throw record.refused("'turns' is no list of at least one turn")
        }
        let own = try rule(record.json, record)
        return Conversation(
            id: try record.text("id"), system: record.json["system"] == nil ? nil : try record.text("system"),
            turns: try turns.enumerated().map { index, json in
                func refused(_ reason: String) -> ScoringError { record.refused("turn \(index + 1): \(reason)") }
                guard let user = json["user"]?.string, !user.isEmpty else { throw refused("'user' is no text") }
                guard let found = json["references"] else {
                    guard try rule(json, record) == nil else { throw refused("a rule of the score, but no 'references'") }
                    return Turn(user: user, references: [], rule: .unscored, classes: [], maxTokens: maxTokens)
                }
                guard let references = found.array?.map(\.string) as? [String], !references.isEmpty else {
                    throw refused("'references' is no list of strings")
                }
                let task = try rule(json, record) ?? own ?? .dialogue
                guard !task.hasOneReference || references.count == 1 else {
                    throw refused("\(references.count) references, expected 1 for '\(task.name)'")
                }
                let classes = (json["all_classes"] ?? record.json["all_classes"])?.array?.map(\.string) as? [String]
                guard classes != nil || !task.needsClasses else { throw refused("'\(task.name)' needs 'all_classes'") }
                return Turn(
                    user: user, references: references, rule: task, classes: task.needsClasses ? classes ?? [] : [],
                    maxTokens: maxTokens)
            })
    }

    /// The rule that an object names; nil where it names none.
    private static func rule(_ json: JSONValue, _ record: DataRecord) throws -> ScoringTask? {
        guard json.has("dataset") || json.has("task") else { return nil }
        do throws(Fault) { return try ScoringCase.task(json) } catch { throw record.refused(error.reason) }
    }

    public var name: String { "dialogue" }

    public var count: Int { conversations.reduce(0) { $0 + $1.turns.count } }

    public func examples(_ encoder: PromptEncoder) throws -> [GenerationExample] {
        try conversations.map { conversation in
            let system = conversation.system.map { [ChatTurn(role: "system", content: $0)] } ?? []
            var first = try Self.example(conversation, 0, after: system, encoder)
            let unanswered = conversation.turns.dropLast().flatMap { turn in
                [ChatTurn(role: "user", content: turn.user), ChatTurn(role: "assistant", content: "")]
            }
            let last = try Self.example(conversation, conversation.turns.count - 1, after: system + unanswered, encoder)
            first.leastTokens = last.tokens.count + last.maxTokens - 1
            first.mostTokens = first.leastTokens + conversation.turns.dropLast().reduce(0) { $0 + $1.maxTokens }
            return first
        }
    }

    /// The turn of number `index`, from 0, behind the `history`.
    private static func example(
        _ conversation: Conversation, _ index: Int, after history: [ChatTurn], _ encoder: PromptEncoder
    ) throws -> GenerationExample {
        let turn = conversation.turns[index]
        let id = "dialogue/\(conversation.id)/\(index + 1)"
        let turns = history + [ChatTurn(role: "user", content: turn.user)]
        let encoded = try encoder.encoded(turns, questionBytes: turn.user.utf8.count, id: id)
        var example = GenerationExample(
            id: id, group: ExampleGroup(turn: index + 1), prompt: encoded.text, tokens: encoded.tokens,
            contextTokens: encoded.contextTokens, maxTokens: turn.maxTokens, references: turn.references, classes: turn.classes,
            question: turn.user, stops: encoded.stops, task: turn.rule)
        if index + 1 < conversation.turns.count {
            example.following = { output in
                try Self.example(
                    conversation, index + 1, after: turns + [ChatTurn(role: "assistant", content: output)], encoder)
            }
        }
        return example
    }
}
