import JSON
import Random

/// RULER's tasks `qa_1` and `qa_2` (`qa.py`): questions of SQuAD and HotpotQA about documents among others of the same file.
///
/// Departures from `qa.py`: documents are not repeated where a length takes more of them than the file has, and a prompt may have fewer than
/// ten, down to the question's own.
struct RULERQuestions: RULERRule {
    /// A question of a file.
    private struct Question: Sendable {
        var text: String
        var answers: [String]
        /// Indices of its own documents, and of others about the same subject, which are the first to stand beside them.
        var own: [Int]
        var related: [Int] = []
    }

    private let texts: RULERPrompts
    private let documents: [String]
    private let questions: [Question]

    /// Reads SQuAD 2.0's file, such as `dev-v2.0.json`; questions without an answer are left out.
    ///
    /// Throws `FileError`, or ``ScoringError`` naming the file and the place in it.
    init(squad path: String, _ texts: RULERPrompts) throws {
        func refused(_ reason: String) -> ScoringError { .file(path, line: 1, reason: reason) }
        guard let articles = try JSONValue(path: path)["data"]?.array else {
            throw refused("no list 'data', as SQuAD's files have")
        }
        var (index, questions) = (DocumentIndex(), [Question]())
        for (number, article) in articles.enumerated() {
            func refused(_ reason: String) -> ScoringError { .file(path, line: 1, reason: "article \(number + 1): \(reason)") }
            guard let paragraphs = article["paragraphs"]?.array else { throw refused("no list 'paragraphs'") }
            let all = try paragraphs.map { paragraph in
                guard let text = paragraph["context"]?.string else { throw refused("a paragraph without 'context'") }
                return index.number(of: text)
            }
            for (paragraph, own) in zip(paragraphs, all) {
                guard let asked = paragraph["qas"]?.array else { throw refused("a paragraph without 'qas'") }
                for one in asked where one["is_impossible"]?.bool != true {
                    let answers = one["answers"]?.array?.map { $0["text"]?.string } as? [String]
                    guard let text = one["question"]?.string, let answers, !answers.isEmpty else {
                        throw refused("a question without 'question', or without 'answers' and their 'text'")
                    }
                    questions.append(Question(text: text, answers: answers, own: [own], related: all.filter { $0 != own }))
                }
            }
        }
        guard !questions.isEmpty else { throw refused("no questions with answers") }
        (self.texts, documents, self.questions) = (texts, index.documents, questions)
    }

    /// Reads HotpotQA's file, such as `hotpot_dev_distractor_v1.json`.
    ///
    /// Throws as ``init(squad:_:)`` does.
    init(hotpotqa path: String, _ texts: RULERPrompts) throws {
        var index = DocumentIndex()
        questions = try DataRecord.elements(path).map { record in
            let own = try record.json["context"]?.array?.map { document in
                guard let parts = document.array, parts.count == 2, let title = parts[0].string,
                    let sentences = parts[1].array?.map(\.string) as? [String]
                else { throw record.refused("'context' has a document that is no title with a list of sentences") }
                return index.number(of: "\(title)\n\(sentences.joined())")
            }
            guard let own, !own.isEmpty else { throw record.refused("'context' is no list of documents") }
            return Question(text: try record.text("question"), answers: [try record.text("answer")], own: own)
        }
        (self.texts, documents) = (texts, index.documents)
    }

    func least(_ number: Int) -> Int { questions[number].own.count }

    var most: Int { documents.count }

    var prompts: Int { questions.count }

    func prompt(_ number: Int, size: Int, _ generator: inout SeededGenerator) -> RULERPrompt {
        let question = questions[number]
        let room = size - question.own.count
        let beside: [Int]
        if room > question.related.count {
            let taken = Set(question.own + question.related)
            let others = documents.indices.filter { !taken.contains($0) }
            beside = question.related + generator.sample(others, room - question.related.count)
        } else {
            beside = generator.sample(question.related, room)
        }
        let chosen = (question.own + beside).shuffled(using: &generator).map { documents[$0] }
        return RULERPrompt(text: Self.text(texts, chosen, query: question.text), outputs: question.answers)
    }

    /// The prompt that asks a question about documents in their order.
    static func text(_ texts: RULERPrompts, _ documents: [String], query: String) -> String {
        let context = documents.enumerated().map { "Document \($0 + 1):\n\($1)" }.joined(separator: "\n\n")
        return texts.prompt(.questions, ["context": context, "query": query])
    }
}

/// The different documents of a file, in the order of their first mention.
private struct DocumentIndex {
    private(set) var documents: [String] = []
    /// By UTF-8: Python, unlike `String`, tells composed from decomposed characters.
    private var numbers: [[UInt8]: Int] = [:]

    /// The number of a document, which is added where it is new.
    mutating func number(of document: String) -> Int {
        let key = Array(document.utf8)
        if let number = numbers[key] { return number }
        documents.append(document)
        numbers[key] = documents.count - 1
        return documents.count - 1
    }
}
