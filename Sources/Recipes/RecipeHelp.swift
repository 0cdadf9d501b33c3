import JSON

extension Recipe {
    /// Every key with its type, default, meaning and an example, or those at and under `path` (`train`, `lab.sweep.seeds`).
    ///
    /// Nil where no key has this path.
    public static func help(on path: String? = nil) -> String? {
        let plain = path.map { $0.replacing(/\[\d*\]/, with: "") }
        let rows = RecipeSection.recipe.rows.filter { row in
            let own = row.path.replacing("[]", with: "")
            return plain.map { own == $0 || own.hasPrefix($0 + ".") } ?? true
        }
        guard !rows.isEmpty else { return nil }
        var (lines, object) = ([String](), rows[0].object)
        for row in rows {
            if row.object != object { lines.append("") }
            object = row.object
            lines += row.help
        }
        return lines.joined(separator: "\n")
    }
}

extension RecipeSection {
    /// A described key.
    struct Row {
        /// The path of its object.
        let object: String
        /// The key.
        let key: RecipeKey
        /// The values of `kind` that it belongs to; none for all.
        let kinds: [String]

        /// The key's whole path.
        var path: String { object.isEmpty ? key.name : object + "." + key.name }
    }

    /// Every described key, an object's own before those of the objects in it; a key of several objects is described once.
    var rows: [Row] {
        var rows = own.map { Row(object: path, key: $0, kinds: []) }
        for kind in kinds {
            for key in kind.keys {
                let same = rows.firstIndex { $0.key.name == key.name && $0.key.description == key.description }
                if let same {
                    rows[same] = Row(object: path, key: key, kinds: rows[same].kinds + [kind.name])
                } else {
                    rows.append(Row(object: path, key: key, kinds: [kind.name]))
                }
            }
        }
        for key in own {
            guard let inner = key.type.section else { continue }
            let place = (path.isEmpty ? key.name : path + "." + key.name)
            if inner.path == place || inner.path == place + "[]" { rows += inner.rows }
        }
        return rows
    }
}

extension RecipeSection.Row {
    /// The key for people: its type and default, and below them its meaning and an example.
    fileprivate var help: [String] {
        let condition = kinds.isEmpty ? "" : "for " + kinds.map { "\"\($0)\"" }.joined(separator: " and ") + ": "
        let absence =
            switch key.absence {
            case .fixed(let value): ", default \(value.text)"
            case .derived(let text): ", default: \(text)"
            case .required, .requiredIf: ", \(key.absence.text)"
            case .optional: ""
            }
        var further = ""
        if let section = key.type.section {
            let home = section.path.replacing("[]", with: "")
            if home != path { further = "; its keys are under '\(home)'" }
            if let shared = section.sharedPath { further = "; besides those below, with the keys of '\(shared)'" }
        }
        return [
            "\(path)  \(condition)\(key.type.text)\(absence)".replacing("`", with: "'"),
            "    \(key.meaning)\(further)".replacing("`", with: "'"), "    \(JSONValue.quoted(key.name)): \(key.example.text)",
        ]
    }
}

extension RecipeKey {
    /// The type, what absence means, and the meaning.
    fileprivate var description: String { "\(type.text), \(absence.text), \(meaning)" }
}

extension RecipeKey.Absence {
    /// The default as the documentation's page has it: `0`, required, as `heads`, or – for no value.
    var text: String {
        switch self {
        case .required: "required"
        case .requiredIf(let circumstance): "required \(circumstance)"
        case .fixed(let value): "`\(value.text)`"
        case .derived(let text): text
        case .optional: "–"
        }
    }
}

extension RecipeType {
    /// The type in words: integer from 0, paths, `packed`, `masked`.
    var text: String {
        switch self {
        case .list(.choice(let names)): "texts of " + Self.list(names)
        case .list(.pathOrObject): "paths or objects"
        case .list(let element): element.noun + "s" + element.limits
        case .choice(let names): Self.list(names)
        case .choices(let names, let example): Self.list(names) + ", or such as `\(example)`"
        default: noun + limits
        }
    }

    private var noun: String {
        switch self {
        case .text, .choice, .choices: "text"
        case .path: "path"
        case .boolean: "boolean"
        case .integer, .perLayer, .integerOrText: "integer"
        case .number: "number"
        case .list: "list"
        case .object: "object"
        case .pathOrObject: "path or object"
        }
    }

    /// The limits of a number, of which a lower one of 1 and an upper one that is only there to be sane are left out.
    private var limits: String {
        switch self {
        case .integer(let range):
            if range.upperBound < 1 << 16 { return ", \(range.lowerBound) to \(range.upperBound)" }
            return range.lowerBound == 1 ? "" : " from \(range.lowerBound)"
        case .number(let range):
            let (least, most) = (range.lowerBound.json.text, range.upperBound.json.text)
            return range.upperBound < 1e6 ? ", \(least) to \(most)" : " from \(least)"
        case .perLayer: return ", or one a layer"
        case .integerOrText(let example): return ", or such as `\(example)`"
        default: return ""
        }
    }

    private static func list(_ names: [String]) -> String { names.map { "`\($0)`" }.joined(separator: ", ") }
}
