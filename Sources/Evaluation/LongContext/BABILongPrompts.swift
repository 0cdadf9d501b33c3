import JSON

/// BABILong's prompt texts, read from its owners' file and not copied here.
public struct BABILongPrompts: Sendable {
    /// The file.
    let path: String
    private let template: PromptTemplate
    /// Each task's parts by the names of the template's fields.
    private let parts: [String: [String: String]]

    private static let partNames = ["instruction", "examples", "post_prompt"]

    /// Reads `babilong/prompts.py` of github.com/booydar/babilong, or its texts as a JSON object with `template` and `prompts`.
    ///
    /// Throws `FileError`, or ``ScoringError`` naming file and line.
    public init(path: String) throws {
        func refused(_ reason: String) -> ScoringError { .file(path, line: 1, reason: reason) }
        let (text, tasks): (JSONValue?, JSONValue?)
        if path.hasSuffix(".py") {
            text = try PythonLiteral.value("DEFAULT_TEMPLATE", path: path)
            tasks = try PythonLiteral.value("DEFAULT_PROMPTS", path: path)
        } else {
            let json = try JSONValue(path: path, limit: 1 << 24)
            (text, tasks) = (json["template"], json["prompts"])
        }
        guard let text = text?.string else { throw refused("no template") }
        guard let tasks = tasks?.members else { throw refused("no prompts") }
        do throws(Fault) { template = try PromptTemplate(text) } catch {
            throw refused("the template has \(error.reason)")
        }
        let known = Self.partNames + ["context", "question"]
        if let odd = template.fields.first(where: { !known.contains($0) }) {
            throw refused("the template has the field '{\(odd.prefix(40))}', expected \(known.joined(separator: ", "))")
        }
        for name in ["context", "question"] where !template.fields.contains(name) {
            throw refused("the template has no field '{\(name)}'")
        }
        var parts: [String: [String: String]] = [:]
        for task in tasks {
            for name in Self.partNames {
                guard let text = task.value[name]?.string else { throw refused("'\(task.name)' has no '\(name)'") }
                parts[task.name, default: [:]][name] = text
            }
        }
        (self.path, self.parts) = (path, parts)
    }

    /// The prompt of a sample and the bytes behind its context; `isBare` without instruction, examples and post-prompt, as its authors
    /// prompt base models.
    ///
    /// Throws ``ScoringError/file(_:line:reason:)`` where the file has no texts for the task.
    func prompt(
        _ task: String, context: String, question: String, isBare: Bool
    ) throws(ScoringError) -> (text: String, bytesBehind: Int) {
        guard let parts = isBare ? [:] : parts[task] else { throw .file(path, line: 1, reason: "no prompts for '\(task)'") }
        let filled = template.filled(behind: "context") { name in
            switch name {
            case "context": PythonText(context).stripped.string
            case "question": question
            default: parts[name] ?? ""
            }
        }
        let text = PythonText(filled.text)
        // White space at the end goes from what stands behind the context.
        let cut = PythonText(scalars: text.scalars.suffix(text.trailingSpaces)).string.utf8.count
        return (text.stripped.string, max(0, filled.bytesBehind - cut))
    }
}
