/// LongBench v2 (``LongBench2Data``).
enum LongBench2Evaluation: EvaluationKind {
    static let name = "longbench2"
    static let summary = "LongBench v2's questions of four choices"
    static let abstract = "LongBench v2's scores of models, by difficulty and length, for each cache."
    static let discussion = """
        `data` is LongBench v2's data.json (THUDM/LongBench-v2 on Hugging Face), `prompts` the folder prompts of its repository \
        (github.com/THUDM/LongBench), whose texts are read, not copied. Prompts longer than `maxLength` are cut in their middle, as its \
        pred.py does, before `chat` puts them into a chat template, as that always does. The letter behind "The correct answer is" counts. \
        With `cot` the model reasons in up to 1024 tokens first, and answers a second prompt with the reasoning in place of the text.
        """
    static let settings: [EvaluationSetting] = [
        EvaluationSetting(
            "data", .file(["json"]), "LongBench v2's data.json", isRequired: true, example: .text("LongBench-v2/data.json")),
        .folder(
            "prompts", "the folder of 0shot.txt, 0shot_cot.txt and 0shot_cot_ans.txt", isRequired: true,
            example: "LongBench/prompts"),
        .flag("cot", "have the model reason before it answers"),
        EvaluationSetting(
            "maxLength", .integer(2...Int.max), "tokens of a prompt; longer ones are cut in their middle",
            default: .integer(120_000), example: .integer(7500)),
        .limit("records"), .maxNew(nil), .chat, .queryAware,
    ]

    static func make(_ settings: EvaluationSettings) throws -> EvaluationWork {
        .generation(
            try LongBench2Data(
                data: settings.word("data"), prompts: settings.word("prompts"),
                LongBench2Data.Options(
                    maxLength: settings.count("maxLength"), limit: settings.integer("limit"),
                    maxTokens: settings.integer("maxNew"), isReasoned: settings.flag("cot"))), .init())
    }
}
