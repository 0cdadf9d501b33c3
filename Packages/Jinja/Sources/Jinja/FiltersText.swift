/// Filters of text.
extension Renderer {
    @inline(never)
    func text(_ name: FilterName, _ value: Value, _ arguments: CallArguments) throws(JinjaError) -> Value {
        let text = try string(value)
        try charge(bytes: text.utf8.count)
        if name != .trim, name != .replace { try charge(characters: text) }
        switch name {
        case .upper: return .string(text.uppercased())
        case .lower: return .string(lowered(text))
        case .capitalize: return .string(capitalized(text))
        case .title: return .string(titledWords(text))
        case .trim:
            try arguments.check(["chars"], of: "trim", self)
            let characters = arguments.value(0, "chars")
            return .string(strip(text, characters.map(\.isNone) == false ? characters?.text : nil))
        case .replace:
            try arguments.check(["old", "new", "count"], of: "replace", self)
            return .string(
                try replaced(
                    text, try string(try arguments.required(0, "old", of: "replace", self)),
                    try string(try arguments.required(1, "new", of: "replace", self)),
                    count: try arguments.integer(2, "count", self) ?? -1))
        case .center:
            let width = CallArguments(positional: [arguments.value(0, "width") ?? .int(80)])
            return .string(try padded(text, width, "center"))
        case .format:
            if arguments.named.isEmpty { return .string(try percent(text, .tuple(try items(arguments.positional)))) }
            guard arguments.positional.isEmpty else {
                throw fault("can't handle positional and keyword arguments at the same time")
            }
            return .string(try percent(text, try dictionary(arguments.named.map { (.string($0.name), $0.value) })))
        case .indent: return .string(try indented(value, arguments))
        case .truncate: return .string(try truncated(value, arguments))
        case .wordcount: return .int(wordCount(text))
        default: return .string(try escaped(text))
        }
    }

    private func titledWords(_ text: String) -> String {
        var result = ""
        var startsWord = true
        for scalar in text.unicodeScalars {
            let isBetween = scalar.isPythonSpace || "-({[<".unicodeScalars.contains(scalar)
            result += startsWord && !isBetween ? scalar.properties.uppercaseMapping : scalar.properties.lowercaseMapping
            startsWord = isBetween
        }
        return result
    }

    private func indented(_ value: Value, _ arguments: CallArguments) throws(JinjaError) -> String {
        try arguments.check(["width", "first", "blank"], of: "indent", self)
        if case .undefined(let undefined) = value { throw fault(undefined.message) }
        guard case .string(let text) = value else { throw fault("indent takes a string, not \(value.type)") }
        var indent = arguments.value(0, "width")?.text
        if indent == nil {
            let width = try arguments.integer(0, "width", self) ?? 4
            try charge(bytes: max(0, width))
            indent = String(repeating: " ", count: max(0, width))
        }
        guard let indent else { return text }
        let blank = arguments.flag(2, "blank")
        let lines = try lines(of: text + "\n")
        var result: [String] = []
        for (index, line) in lines.enumerated() {
            try charge(bytes: indent.utf8.count)
            let isIndented = index == 0 ? arguments.flag(1, "first") : blank || !line.isEmpty
            result.append(isIndented ? indent + line : line)
        }
        return try join(result, by: "\n")
    }

    private func truncated(_ value: Value, _ arguments: CallArguments) throws(JinjaError) -> String {
        if case .undefined = value { return "" }
        guard case .string(let text) = value else { throw fault("truncate takes a string, not \(value.type)") }
        try arguments.check(["length", "killwords", "end", "leeway"], of: "truncate", self)
        let length = try arguments.integer(0, "length", self) ?? 255
        let end = try arguments.value(2, "end").map { value throws(JinjaError) in try string(value) } ?? "..."
        let leeway = try arguments.integer(3, "leeway", self) ?? 5
        guard length >= end.scalarCount else { throw fault("expected length >= \(end.scalarCount), got \(length)") }
        guard leeway >= 0 else { throw fault("expected leeway >= 0, got \(leeway)") }
        if text.scalarCount <= length.addingReportingOverflow(leeway).partialValue || length > text.scalarCount { return text }
        let kept = String(scalars: text.unicodeScalars.prefix(length - end.scalarCount))
        if arguments.flag(1, "killwords") { return kept + end }
        return (try pieces(of: kept, " ", limit: 1, fromEnd: true)[0]) + end
    }

    private func wordCount(_ text: String) -> Int {
        var count = 0
        var isInWord = false
        for scalar in text.unicodeScalars {
            if scalar.isWordCharacter, !isInWord { count += 1 }
            isInWord = scalar.isWordCharacter
        }
        return count
    }

    private func escaped(_ text: String) throws(JinjaError) -> String {
        try charge(bytes: text.utf8.count)
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "'": result += "&#39;"
            case "\"": result += "&#34;"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
