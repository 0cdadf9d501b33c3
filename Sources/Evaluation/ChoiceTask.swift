import JSON
import Models
import Text

/// A multiple-choice item scored by likelihood: a context and its possible continuations.
public struct ChoiceItem: Sendable, Equatable {
    /// The context; may be empty.
    public var context: String
    /// The choices: continuations, one of which is right.
    public var choices: [String]
    /// The index of the right choice.
    public var answer: Int
    /// The choices' texts whose lengths normalize sums; nil for the choices without a space before them.
    public var names: [String]?
    /// The bytes of the context before the item's question, such as few-shot examples, at whose end a cache's evictions decide.
    public var promptBytes = 0
}

/// A fault in a task's file.
public enum ChoiceTaskError: Error, CustomStringConvertible, Equatable {
    /// A line is not JSON of the task's form.
    case line(Int, reason: String)
    /// The file has no items.
    case empty
    /// A continuation has no tokens, or is longer than the model's positions.
    case unscorable(item: Int, reason: String)

    /// The sentence for the user, without the file.
    public var description: String {
        switch self {
        case .line(let number, let reason): "line \(number): \(reason)"
        case .empty: "no items; a JSON object a line is expected"
        case .unscorable(let item, let reason): "item \(item + 1): \(reason)"
        }
    }
}

/// Multiple-choice tasks in their authors' JSON Lines files, read as lm-evaluation-harness reads them.
public enum ChoiceTask: String, Sendable, CaseIterable {
    /// Warstadt et al. 2020: `sentence_good` and `sentence_bad`; the likelier is chosen.
    case blimp
    /// Zellers et al. 2019: `activity_label`, `ctx_a`, `ctx_b`, four `endings` and a `label`.
    case hellaswag
    /// Paperno et al. 2016: a `text` whose last word is to be guessed.
    case lambada

    /// The items of a file's content; blank lines are skipped.
    public func items(_ text: String) throws(ChoiceTaskError) -> [ChoiceItem] {
        var items: [ChoiceItem] = []
        // To Swift, "\r\n" is one character, which is not "\n".
        let lines = text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
        for (index, line) in lines.enumerated() {
            if line.allSatisfy(\.isWhitespace) { continue }
            let json: JSONValue
            do throws(JSONError) { json = try JSONValue(parsing: Array(line.utf8)) } catch {
                throw .line(index + 1, reason: "not valid JSON: \(error)")
            }
            do throws(MissingKey) { items.append(try item(json)) } catch {
                throw .line(index + 1, reason: "'\(error.key)' is missing or not what \(rawValue) has there")
            }
        }
        guard !items.isEmpty else { throw .empty }
        return items
    }

    private struct MissingKey: Error { var key: String }

    private func item(_ json: JSONValue) throws(MissingKey) -> ChoiceItem {
        func text(_ key: String) throws(MissingKey) -> String {
            guard let value = json[key]?.string else { throw MissingKey(key: key) }
            return value
        }
        switch self {
        case .blimp:
            return ChoiceItem(context: "", choices: [try text("sentence_good"), try text("sentence_bad")], answer: 0)
        case .hellaswag:
            let endings = json["endings"]?.array?.compactMap(\.string) ?? []
            guard endings.count >= 2, endings.count == json["endings"]?.array?.count else { throw MissingKey(key: "endings") }
            guard let label = json["label"]?.int ?? json["label"]?.string.flatMap({ Int($0) }), endings.indices.contains(label)
            else { throw MissingKey(key: "label") }
            let second = try text("ctx_b")
            let capitalized = second.prefix(1).uppercased() + second.dropFirst().lowercased()
            let context = "\(try text("activity_label")): \(try text("ctx_a")) \(capitalized)"
            return ChoiceItem(
                context: Self.cleaned(context), choices: endings.map { " " + Self.cleaned($0) }, answer: label)
        case .lambada:
            let whole = try text("text")
            guard let space = whole.lastIndex(of: " ") else {
                return ChoiceItem(context: "", choices: [" " + whole], answer: 0)
            }
            return ChoiceItem(context: String(whole[..<space]), choices: [String(whole[space...])], answer: 0)
        }
    }

    /// The text without WikiHow's marks: " [title]" ends a sentence, other brackets are removed.
    private static func cleaned(_ text: String) -> String {
        var text = trimmed(text).replacing(" [title]", with: ". ")
        while let open = text.firstIndex(of: "["), let close = text[open...].firstIndex(of: "]") {
            text.removeSubrange(open...close)
        }
        return text.replacing("  ", with: " ")
    }

    private static func trimmed(_ text: String) -> String {
        guard let first = text.firstIndex(where: { !$0.isWhitespace }), let last = text.lastIndex(where: { !$0.isWhitespace })
        else { return "" }
        return String(text[first...last])
    }
}
