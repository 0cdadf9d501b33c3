import Random

/// Maker of RULER's prompts (Hsieh et al. 2024), as its `scripts/data/synthetic` makes them, in the tokens of a model.
///
/// A length counts the prompt with its beginning-of-sequence token and chat template, and the tokens to generate. A prompt has about the
/// most haystack with which it fits: the first one's haystack is cut for each other prompt until that fits too.
///
/// Departures: draws are seeded, words come from lists of kvlab's own, and a haystack too short or too long for a length is refused, where
/// the authors' programs repeat it or try for ever; each task names its own.
public struct RULERMaker: Sendable {
    /// The files that prompts are made from.
    public struct Sources: Sendable {
        /// RULER's texts.
        public var texts: RULERPrompts
        /// The text around needles in place of the authors' essays, and its files.
        public var haystack: String?, haystackFiles: [String]
        /// The files of SQuAD 2.0 and of HotpotQA.
        public var squad: String?, hotpotqa: String?

        /// Sources of tasks; the ones left out make no tasks that need them.
        public init(
            texts: RULERPrompts, haystack: String? = nil, haystackFiles: [String] = [], squad: String? = nil,
            hotpotqa: String? = nil
        ) {
            (self.texts, self.haystack, self.haystackFiles) = (texts, haystack, haystackFiles)
            (self.squad, self.hotpotqa) = (squad, hotpotqa)
        }

        /// The setting that names the files a task needs, and their origin; nil for a task without need of any.
        static func need(_ task: String) -> (key: String, files: String)? {
            switch task {
            case "qa_1": ("squad", "SQuAD's dev-v2.0.json (rajpurkar.github.io/SQuAD-explorer)")
            case "qa_2": ("hotpotqa", "HotpotQA's hotpot_dev_distractor_v1.json (hotpotqa.github.io)")
            case _ where RULERNeedles.variants[task]?.needsText == true:
                ("haystack", "a text, in place of the essays that RULER downloads; old books are free")
            default: nil
            }
        }

        /// Whether the files of a setting are named.
        fileprivate func has(_ key: String) -> Bool {
            switch key {
            case "squad": squad != nil
            case "hotpotqa": hotpotqa != nil
            default: haystack != nil
            }
        }
    }

    /// A length, or files, that no prompt can be made of.
    public enum Fault: Error, CustomStringConvertible, Equatable {
        /// A task without the files it is made from.
        case missing(task: String, key: String, files: String)
        /// A length too short for a prompt and its output.
        case shortLength(task: String, length: Int, least: Int)
        /// A haystack with fewer tokens than a length takes.
        case shortHaystack(task: String, length: Int, most: Int)
        /// Fewer questions whose own documents fit a length than prompts.
        case fewQuestions(task: String, length: Int, fitting: Int, wanted: Int)

        /// The sentence for the user.
        public var description: String {
            switch self {
            case .missing(let task, let key, let files): "\(task) is made from \(files); name it as '\(key)'"
            case .shortLength(let task, let length, let least):
                "\(task): a length of \(length) tokens is too short, a prompt with its output takes at least \(least) with this tokenizer"
            case .shortHaystack(let task, let length, let most):
                "\(task): its files give prompts with outputs of at most \(most) tokens, a length is \(length); name more text or choose shorter lengths"
            case .fewQuestions(let task, let length, let fitting, let wanted):
                "\(task): \(fitting) questions fit a length of \(length) tokens with their own documents, expected \(wanted); choose longer lengths or a smaller limit"
            }
        }
    }

    /// The tasks whose files `sources` names, in their order.
    public static func tasks(of sources: Sources) -> [String] {
        RULERTask.tasks.filter { task in Sources.need(task).map { sources.has($0.key) } ?? true }
    }

    let tasks: [String]
    let lengths: [Int]
    let seed: UInt64
    /// The files that prompts are made from.
    let files: [String]
    private let texts: RULERPrompts
    private let haystack: RULERText?
    /// The rules of tasks that read files of questions.
    private let questions: [String: RULERQuestions]
    /// Prompts of a task at each length.
    private let limit: Int

    /// Reads the files of `tasks`; `limit` prompts are made of each at each of `lengths`, in tokens.
    ///
    /// Throws ``Fault/missing(task:key:files:)`` for a task whose files are not named, `FileError` and ``ScoringError`` for files.
    public init(tasks: [String], lengths: [Int], _ sources: Sources, limit: Int = 100, seed: UInt64 = 1) throws {
        for task in tasks {
            guard let need = Sources.need(task), !sources.has(need.key) else { continue }
            throw Fault.missing(task: task, key: need.key, files: need.files)
        }
        (self.tasks, self.lengths, self.limit, self.seed, texts) = (tasks, lengths, limit, seed, sources.texts)
        let needs = Set(tasks.compactMap { Sources.need($0)?.key })
        haystack = needs.contains("haystack") ? sources.haystack.map(RULERText.init) : nil
        var (questions, files) = ([String: RULERQuestions](), needs.contains("haystack") ? sources.haystackFiles : [])
        if needs.contains("squad"), let path = sources.squad {
            questions["qa_1"] = try RULERQuestions(squad: path, texts)
            files.append(path)
        }
        if needs.contains("hotpotqa"), let path = sources.hotpotqa {
            questions["qa_2"] = try RULERQuestions(hotpotqa: path, texts)
            files.append(path)
        }
        (self.questions, self.files) = (questions, files + [texts.path])
    }

    /// Prompts of a task at a length.
    private func count(_ task: String) -> Int { min(limit, questions[task]?.prompts ?? .max) }

    /// Prompts in all.
    var count: Int { lengths.count * tasks.reduce(0) { $0 + count($1) } }

    /// The options that prompts depend on.
    var options: [String: String] {
        [
            "tasks": tasks.joined(separator: ","), "lengths": lengths.map { "\($0)" }.joined(separator: ","),
            "limit": "\(limit)", "seed": "\(seed)",
        ]
    }

    private func rule(_ task: String, promptTokens: Int, length: Int, _ encoder: PromptEncoder) -> any RULERRule {
        switch task {
        case "vt": return RULERVariables(texts, encoder, seed: seed)
        case "cwe": return RULERCommonWords(texts: texts, length: length)
        case "fwe": return RULERFrequentWords(texts: texts, promptTokens: promptTokens)
        default:
            if let questions = questions[task] { return questions }
            guard let variant = RULERNeedles.variants[task] else { preconditionFailure("RULERMaker: no task '\(task)'") }
            let text = variant.needsText ? haystack.map { RULERNeedles.Haystack.text($0) } : nil
            return RULERNeedles(
                variant: variant, haystack: text ?? (variant.hidesAmongNeedles ? .needles : .noise), texts: texts)
        }
    }

    /// The prompts in the order of lengths and tasks; `newTokens` are the tokens that a task generates.
    func prompts(
        _ encoder: PromptEncoder, newTokens: (_ task: String) -> Int
    ) throws -> [(task: String, length: Int, prompt: RULERPrompt)] {
        var prompts: [(task: String, length: Int, prompt: RULERPrompt)] = []
        for length in lengths {
            for task in tasks {
                let output = newTokens(task)
                let rule = rule(task, promptTokens: length - output, length: length, encoder)
                let fitting = Fitting(
                    task: task, length: length, newTokens: output, rule: rule, encoder: encoder, seed: seed)
                prompts += try fitting.prompts(count(task)).map { (task: task, length: length, prompt: $0) }
            }
        }
        return prompts
    }
}

/// The fitting of a task's prompts to a length.
private struct Fitting {
    let task: String
    let length: Int
    let newTokens: Int
    let rule: any RULERRule
    let encoder: PromptEncoder
    let seed: UInt64

    private func made(_ number: Int, _ size: Int) throws -> (prompt: RULERPrompt, tokens: Int) {
        var generator = SeededGenerator(seed: seed, name: "ruler/\(length)/\(task)/\(number)")
        let prompt = rule.prompt(number, size: size, &generator)
        return (prompt, try encoder.count(prompt.text) + newTokens)
    }

    /// The prompts of the numbers from 0; questions too long by themselves are passed over.
    func prompts(_ count: Int) throws -> [RULERPrompt] {
        var (prompts, common): ([RULERPrompt], Int?) = ([], nil)
        var number = 0
        while prompts.count < count, number < rule.prompts {
            defer { number += 1 }
            let least = rule.least(number)
            let shortest = try made(number, least)
            guard shortest.tokens <= length else {
                guard rule.prompts < .max else {
                    throw RULERMaker.Fault.shortLength(task: task, length: length, least: shortest.tokens)
                }
                continue
            }
            var size = try max(least, common ?? largest(number, from: least))
            common = common ?? size
            var one = try made(number, size)
            while one.tokens > length {
                size = max(least, size - max(1, size / 32))
                one = try made(number, size)
            }
            prompts.append(one.prompt)
        }
        guard prompts.count == count else {
            throw RULERMaker.Fault.fewQuestions(task: task, length: length, fitting: prompts.count, wanted: count)
        }
        return prompts
    }

    /// The most units of haystack with which a prompt fits.
    private func largest(_ number: Int, from least: Int) throws -> Int {
        let more = try NeedleGrid.most(rule.most - least) { try made(number, least + $0).tokens <= length }
        if least + more == rule.most {
            throw RULERMaker.Fault.shortHaystack(task: task, length: length, most: try made(number, rule.most).tokens)
        }
        return least + more
    }
}
