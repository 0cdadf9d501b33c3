import JSON
import Jinja

/// A `doc_to_…` of a task file: a column's name, a Jinja template over a document's columns, a number, or a list of strings.
struct DocTemplate: Sendable {
    private enum Form: Sendable {
        case template(String, JinjaTemplate)
        case value(JSONValue)
    }

    private let form: Form
    /// The settings of the harness's environment.
    private static let settings = JinjaSettings(
        trimsBlocks: false, lstripsBlocks: false, keepsTrailingNewline: true, isStrict: true)

    /// The template of a task file's value; throws for a template that Jinja cannot read.
    init(_ value: JSONValue) throws(Fault) {
        guard let source = value.string else {
            guard value.int != nil || value.array != nil || value.members != nil else { throw Fault(reason: "is no template") }
            form = .value(value)
            return
        }
        do throws(JinjaError) { form = .template(source, try JinjaTemplate(source, settings: Self.settings)) } catch {
            throw Fault(reason: "is no template: \(error)")
        }
    }

    /// The value for a document: its column of the template's name, or the rendered text.
    ///
    /// Throws ``ScoringError`` at the document's line where the template asks for what the document does not have.
    func value(_ doc: DataRecord) throws(ScoringError) -> JSONValue {
        switch form {
        case .value(let value): return value
        case .template(let source, let template):
            if doc.json.has(source) { return doc.json[source] ?? .null }
            var variables: [String: JinjaValue] = [:]
            for member in doc.json.members ?? [] { variables[member.name] = JinjaValue(member.value) }
            do throws(JinjaError) { return .text(try template.render(variables)) } catch {
                throw doc.refused("the template '\(source.prefix(60))': \(error)")
            }
        }
    }

    /// Whether the value for a document is one of its columns.
    func isColumn(_ doc: DataRecord) -> Bool {
        if case .template(let source, _) = form { doc.json.has(source) } else { false }
    }

    /// The text for a document.
    func text(_ doc: DataRecord) throws(ScoringError) -> String {
        let value = try value(doc)
        guard let text = value.string else { throw doc.refused("a column that is no string where a text is expected") }
        return text
    }

    /// The strings for a document: a list, a table's values, or the list that a template writes as Python does.
    func texts(_ doc: DataRecord) throws(ScoringError) -> [String] {
        let value = try value(doc)
        if let texts = value.array?.map(\.string) as? [String] { return texts }
        if let texts = value.members?.map(\.value.string) as? [String] { return texts }
        if let text = value.string, let texts = PythonLiteral.texts(text) { return texts }
        throw doc.refused("'doc_to_choice' gives no list of strings")
    }
}
