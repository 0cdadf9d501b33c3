/// Conversations (``DialogueTask``).
enum DialogueEvaluation: EvaluationKind {
    static let name = "dialogue"
    static let summary = "conversations of scripted user turns"
    static let abstract = "Scores of conversations turn by turn, with cached tokens and time to the first token."
    static let discussion = """
        `data` has a conversation a line: {"id": "trip", "turns": [{"user": "My train leaves from platform 9."}, {"user": "Which \
        platform?", "references": ["9"]}]}, and "system" where there is such a message. The model answers each turn after its own \
        answers to the turns before, in its chat format, as a client of the server would ask it. A turn is right where a reference \
        occurs in the answer; "task" or "dataset", in a turn or beside the turns, names another rule of `kvlab eval score`. Turns \
        without references have no score.
        """
    static let settings: [EvaluationSetting] = [
        EvaluationSetting(
            "data", .file(["jsonl"]), "the conversations, JSON Lines", isRequired: true, example: .text("chats.jsonl")),
        .folder(
            "jieba", "the folder of a jieba distribution (dict.txt and its HMM tables), which the Chinese data sets need",
            example: "jieba"),
        .limit("conversations"), .maxNew(DialogueTask.maxTokens), .queryAware,
    ]
    static let chat = "served"

    static func make(_ settings: EvaluationSettings) throws -> EvaluationWork {
        let data = settings.word("data")
        let task = try DialogueTask(data: data, limit: settings.integer("limit"), maxTokens: settings.count("maxNew"))
        guard settings.text("jieba") != nil || !LongBenchData.needsJieba(task.rules) else {
            throw EvaluationFault("jieba", "a rule of \(data) is scored on jieba's words; name its folder with `jieba`")
        }
        return .generation(task, .init(jieba: try settings.text("jieba").map { try Jieba(folder: $0) }))
    }
}
