/// `tojson` as transformers has it: Python's `json.dumps`.
struct JSONDump {
    let renderer: Renderer
    var ensureASCII = false
    /// The indent of a level; nil for one line.
    var indent: String?
    var comma = ", "
    var colon = ": "
    var sortKeys = false

    /// The options of a call of the filter.
    init(_ arguments: CallArguments, _ renderer: Renderer) throws(JinjaError) {
        self.renderer = renderer
        try arguments.check(["ensure_ascii", "indent", "separators", "sort_keys"], of: "tojson", renderer)
        ensureASCII = arguments.flag(0, "ensure_ascii")
        sortKeys = arguments.flag(3, "sort_keys")
        switch arguments.value(1, "indent") {
        case nil, Value.none?: break
        case .string(let text)?: indent = text
        default:
            let width = try arguments.integer(1, "indent", renderer) ?? 0
            guard width <= 1000 else { throw renderer.limit("an indent of more than 1000 spaces") }
            indent = String(repeating: " ", count: max(0, width))
        }
        if indent != nil { comma = "," }
        if let separators = arguments.value(2, "separators"), !separators.isNone {
            let pair = try renderer.elements(of: separators)
            guard pair.count == 2, let first = pair[0].text, let second = pair[1].text else {
                throw renderer.fault("separators are a pair of strings")
            }
            (comma, colon) = (first, second)
        }
    }

    func text(_ value: Value) throws(JinjaError) -> String {
        var text = ""
        try write(value, into: &text, level: 0)
        return text
    }

    private func write(_ value: Value, into text: inout String, level: Int) throws(JinjaError) {
        try renderer.charge()
        guard text.utf8.count <= renderer.limits.stringBytes else { throw renderer.limit("a JSON text too large") }
        switch value {
        case .none: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .int(let value): text += String(value)
        case .double(let value): text += Self.float(value)
        case .string(let value): try quote(value, into: &text)
        case .list(let items), .tuple(let items):
            try write(items.elements, "[", "]", into: &text, level) { element, text throws(JinjaError) in
                try write(element, into: &text, level: level + 1)
            }
        case .dictionary(let dictionary):
            var members = Array(zip(dictionary.keys, dictionary.values)).map { Value.tuple(Items([$0, $1])) }
            if sortKeys { members = try renderer.sorted(members, by: dictionary.keys, reverse: false) }
            try write(members, "{", "}", into: &text, level) { member, text throws(JinjaError) in
                guard case .tuple(let pair) = member else { return }
                try quote(Self.key(pair.elements[0]), into: &text)
                text += colon
                try write(pair.elements[1], into: &text, level: level + 1)
            }
        default: throw renderer.fault("Object of type \(value.type) is not JSON serializable")
        }
    }

    private func write(
        _ elements: [Value], _ open: String, _ close: String, into text: inout String, _ level: Int,
        _ element: (Value, inout String) throws(JinjaError) -> Void
    ) throws(JinjaError) {
        text += open
        for (index, value) in elements.enumerated() {
            if index > 0 { text += comma }
            try newLine(level + 1, into: &text)
            try element(value, &text)
        }
        if !elements.isEmpty { try newLine(level, into: &text) }
        text += close
    }

    private func newLine(_ level: Int, into text: inout String) throws(JinjaError) {
        guard let indent else { return }
        try renderer.charge(bytes: indent.utf8.count * level)
        text += "\n" + String(repeating: indent, count: level)
    }

    private static func float(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        return value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : PythonFloat.representation(value)
    }

    private static func key(_ key: Value) -> String {
        switch key {
        case .string(let text): text
        case .bool(let value): value ? "true" : "false"
        case .int(let value): String(value)
        case .double(let value): float(value)
        default: "null"
        }
    }

    private func quote(_ value: String, into text: inout String) throws(JinjaError) {
        try renderer.charge(bytes: value.utf8.count)
        try renderer.charge(scan: value)
        text += "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case "\u{8}": text += "\\b"
            case "\u{C}": text += "\\f"
            case _ where scalar.value < 0x20 || ensureASCII && scalar.value > 0x7E:
                for unit in UTF16.encode(scalar).map({ Array($0) }) ?? [] {
                    let digits = String(unit, radix: 16)
                    text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                }
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}
