/// A text with named fields in braces, filled as Python's `str.format` fills it; "{{" and "}}" are braces.
///
/// Conversions, formats, attributes and positions (`{a!r}`, `{a:>5}`, `{a.b}`, `{0}`) are refused: no prompt has them.
struct PromptTemplate: Sendable, Equatable {
    /// A stretch of text, or a field's name.
    private enum Part: Equatable {
        case text(String)
        case field(String)
    }

    private var parts: [Part] = []

    init(_ template: String) throws(Fault) {
        let scalars = Array(template.unicodeScalars)
        var (index, text): (Int, [Unicode.Scalar]) = (0, [])
        while index < scalars.count {
            let scalar = scalars[index]
            guard scalar == "{" || scalar == "}" else {
                text.append(scalar)
                index += 1
                continue
            }
            if index + 1 < scalars.count, scalars[index + 1] == scalar {
                text.append(scalar)
                index += 2
                continue
            }
            guard scalar == "{", let end = scalars[index...].firstIndex(of: "}") else {
                throw Fault(reason: "a single '\(scalar)'")
            }
            let name = PythonText(scalars: scalars[index + 1..<end]).string
            guard let first = name.unicodeScalars.first, name.unicodeScalars.allSatisfy(PythonText.isWordScalar),
                !PythonText.isDecimal(first)
            else { throw Fault(reason: "the field '{\(name.prefix(40))}', expected a name") }
            parts += [.text(PythonText(scalars: text).string), .field(name)]
            (index, text) = (end + 1, [])
        }
        parts.append(.text(PythonText(scalars: text).string))
    }

    /// The names of the fields.
    var fields: [String] {
        parts.compactMap { if case .field(let name) = $0 { name } else { nil } }
    }

    /// The text with each field replaced by its value, and the bytes behind the last field called `context`; none without it.
    func filled<Failure: Error>(
        behind context: String = "", _ value: (String) throws(Failure) -> String
    ) throws(Failure) -> (text: String, bytesBehind: Int) {
        var (result, end): (String, Int?) = ("", nil)
        for part in parts {
            switch part {
            case .text(let text): result.unicodeScalars += text.unicodeScalars
            case .field(let name):
                result.unicodeScalars += try value(name).unicodeScalars
                if name == context { end = result.utf8.count }
            }
        }
        return (result, result.utf8.count - (end ?? result.utf8.count))
    }
}
