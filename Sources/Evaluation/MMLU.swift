import Foundation

/// MMLU (Hendrycks et al. 2021): questions of four choices in 57 subjects, as items for ``ChoiceScore``.
///
/// Prompts are lm-evaluation-harness's: the first examples of `dev`, then the question; the likelihoods of " A" to " D" are compared.
/// The authors' own program has two spaces before the subject.
public struct MMLU: Sendable {
    /// A subject's items.
    public struct Subject: Sendable, Equatable {
        /// The name in the files, such as abstract_algebra.
        public var name: String
        /// The items, in the order of the file.
        public var items: [ChoiceItem]
    }

    /// The subjects, by name.
    public let subjects: [Subject]

    /// Reads the files `test/SUBJECT_test.csv` of the folder `data`, without a header: a question, four choices, and the right one's letter;
    /// `shots` examples from `dev/SUBJECT_dev.csv`; `subjects` nil for all there are; the first `limit` questions of each.
    ///
    /// Throws `FileError`, or ``ScoringError`` naming file and line.
    public init(_ subjects: [String]?, data: String, shots: Int, limit: Int? = nil) throws {
        let names = try subjects ?? Self.names(data)
        self.subjects = try names.map { name in
            let examples = shots == 0 ? [] : try Self.questions("\(data)/dev/\(name)_dev.csv")
            guard examples.count >= shots else {
                throw ScoringError.file(
                    "\(data)/dev/\(name)_dev.csv", line: 1, reason: "\(examples.count) examples, expected at least \(shots)")
            }
            let about = name.replacing("_", with: " ")
            let head = "The following are multiple choice questions (with answers) about \(about).\n\n"
            let context = examples.prefix(shots).reduce(head) { $0 + $1.text + " " + Self.letters[$1.answer] + "\n\n" }
            let items = try Self.questions("\(data)/test/\(name)_test.csv").prefix(limit ?? .max).map { question in
                ChoiceItem(
                    context: context + question.text, choices: Self.letters.map { " " + $0 }, answer: question.answer,
                    promptBytes: context.utf8.count)
            }
            return Subject(name: name, items: items)
        }
    }

    private static let letters = ["A", "B", "C", "D"]

    /// The subjects that a folder has.
    private static func names(_ data: String) throws -> [String] {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: data + "/test")) ?? []
        let names = files.filter { $0.hasSuffix("_test.csv") }.map { String($0.dropLast("_test.csv".count)) }.sorted()
        guard !names.isEmpty else {
            throw ScoringError.file(data + "/test", line: 1, reason: "no files such as abstract_algebra_test.csv in this folder")
        }
        return names
    }

    private static func questions(_ path: String) throws -> [(text: String, answer: Int)] {
        let rows = try CommaSeparated.rows(path)
        guard !rows.isEmpty else { throw ScoringError.file(path, line: 1, reason: "no questions") }
        return try rows.map { row in
            guard row.cells.count == 6 else {
                throw ScoringError.file(
                    path, line: row.line, reason: "\(row.cells.count) columns, expected a question, four choices and a letter")
            }
            guard let answer = letters.firstIndex(of: row.cells[5]) else {
                throw ScoringError.file(
                    path, line: row.line, reason: "the answer '\(row.cells[5].prefix(20))', expected A, B, C or D")
            }
            let choices = zip(letters, row.cells[1...4]).map { "\($0). \($1)\n" }.joined()
            return (PythonText(row.cells[0]).stripped.string + "\n" + choices + "Answer:", answer)
        }
    }
}
