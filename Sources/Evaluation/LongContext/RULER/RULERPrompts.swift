import JSON

/// RULER's prompt texts, read from its owners' file and not copied here.
public struct RULERPrompts: Sendable {
    /// The kinds of tasks, each with a text of its own, by the names that the file gives them.
    enum Family: String, CaseIterable {
        case needles = "niah"
        case variables = "variable_tracking"
        case commonWords = "common_words_extraction"
        case frequentWords = "freq_words_extraction"
        case questions = "qa"

        /// The names of the fields that a text may have.
        var fields: [String] {
            switch self {
            case .needles: ["type_needle_v", "context", "query"]
            case .variables: ["context", "query", "num_v"]
            case .commonWords: ["context", "query", "num_cw"]
            case .frequentWords, .questions: ["context", "query"]
            }
        }

        /// The names of the fields without which a prompt asks nothing.
        var needed: [String] {
            switch self {
            case .needles, .variables, .questions: ["context", "query"]
            case .commonWords, .frequentWords: ["context"]
            }
        }
    }

    /// The file.
    let path: String
    private var templates: [Family: PromptTemplate] = [:]
    /// The needles' text where one value is asked for.
    private var singular: PromptTemplate

    /// Reads `scripts/data/synthetic/constants.py` of github.com/NVIDIA/RULER, or its `TASKS` as the `tasks` of a JSON object.
    ///
    /// Throws `FileError`, or ``ScoringError`` naming file and line.
    public init(path: String) throws {
        func refused(_ reason: String) -> ScoringError { .file(path, line: 1, reason: reason) }
        let tasks =
            path.hasSuffix(".py")
            ? try PythonLiteral.value("TASKS", path: path) : try JSONValue(path: path, limit: 1 << 24)["tasks"]
        func template(_ family: Family, _ change: (String) -> String = { $0 }) throws(ScoringError) -> PromptTemplate {
            let parts = ["template", "answer_prefix"].map { (key: $0, text: tasks?[family.rawValue]?[$0]?.string) }
            if let missing = parts.first(where: { $0.text == nil }) {
                throw refused("'\(family.rawValue)' has no text '\(missing.key)'")
            }
            let template: PromptTemplate
            do throws(Fault) { template = try PromptTemplate(change(parts.compactMap(\.text).joined())) } catch {
                throw refused("the text of '\(family.rawValue)' has \(error.reason)")
            }
            if let odd = template.fields.first(where: { !family.fields.contains($0) }) {
                throw refused(
                    "the text of '\(family.rawValue)' has the field '{\(odd.prefix(40))}', expected \(family.fields.joined(separator: ", "))"
                )
            }
            for name in family.needed where !template.fields.contains(name) {
                throw refused("the text of '\(family.rawValue)' has no field '{\(name)}'")
            }
            return template
        }
        for family in Family.allCases { templates[family] = try template(family) }
        singular = try template(.needles) { text in
            [("Some", "A"), ("are all", "is"), ("are", "is"), ("answers", "answer")].reduce(text) {
                $0.replacing($1.0, with: $1.1)
            }
        }
        self.path = path
    }

    /// The prompt of a family with the beginning of its answer, fields filled with `values`.
    func prompt(_ family: Family, isSingular: Bool = false, _ values: [String: String]) -> String {
        let template = isSingular && family == .needles ? singular : templates[family]
        guard let template else { preconditionFailure("RULERPrompts: no text of '\(family.rawValue)'") }
        return template.filled { values[$0] ?? "" }.text
    }
}
