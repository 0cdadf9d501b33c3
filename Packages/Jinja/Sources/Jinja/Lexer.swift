/// A piece of a template.
struct Token: Sendable {
    enum Kind: Sendable, Equatable {
        case data(String)
        case blockBegin, blockEnd, variableBegin, variableEnd
        case name(String)
        case string(String)
        case integer(Int)
        case float(Double)
        case symbol(String)
        case end
    }

    var kind: Kind
    /// From 1.
    var line: Int
}

/// Cuts a template into tokens by jinja2's rules.
struct Lexer {
    let source: [Unicode.Scalar]
    let settings: JinjaSettings
    var position = 0
    var line = 1
    private var tokens: [Token] = []

    private init(_ source: [Unicode.Scalar], _ settings: JinjaSettings) { (self.source, self.settings) = (source, settings) }

    /// The tokens of a template, closed by one of kind `end`.
    static func tokens(of text: String, _ settings: JinjaSettings) throws(JinjaError) -> [Token] {
        guard text.utf8.count <= JinjaLimits.sourceBytes else {
            throw JinjaError(.limit, line: 1, reason: "a template of more than \(JinjaLimits.sourceBytes) bytes")
        }
        var lexer = Lexer(normalized(text, keepsLast: settings.keepsTrailingNewline), settings)
        while lexer.position < lexer.source.count { try lexer.data() }
        lexer.add(.end)
        return lexer.tokens
    }

    /// Line ends as `\n`, and none at the very end unless it is kept.
    private static func normalized(_ text: String, keepsLast: Bool) -> [Unicode.Scalar] {
        var result: [Unicode.Scalar] = []
        var previous: Unicode.Scalar = " "
        for scalar in text.unicodeScalars {
            if scalar == "\r" { result.append("\n") } else if scalar != "\n" || previous != "\r" { result.append(scalar) }
            previous = scalar
        }
        if !keepsLast, result.last == "\n" { result.removeLast() }
        return result
    }

    func error(_ reason: String) -> JinjaError { JinjaError(.syntax, line: line, reason: reason) }

    /// Whether `text` stands at `index`.
    func has(_ text: StaticString, at index: Int) -> Bool {
        var index = index
        for scalar in "\(text)".unicodeScalars {
            guard index < source.count, source[index] == scalar else { return false }
            index += 1
        }
        return true
    }

    private mutating func add(_ kind: Token.Kind) { tokens.append(Token(kind: kind, line: line)) }

    /// Goes on to `index`, counting lines.
    mutating func advance(to index: Int) {
        for scalar in source[position..<index] where scalar == "\n" { line += 1 }
        position = index
    }

    private func skippingSpace(_ index: Int) -> Int {
        var index = index
        while index < source.count, source[index].isPythonSpace { index += 1 }
        return index
    }

    /// Text up to the next tag, and the tag.
    private mutating func data() throws(JinjaError) {
        var index = position
        while index + 1 < source.count, source[index] != "{" || !["%", "{", "#"].contains(source[index + 1]) { index += 1 }
        guard index + 1 < source.count else {
            add(.data(String(scalars: source[position...])))
            return advance(to: source.count)
        }
        let tag = source[index + 1]
        let sign = index + 2 < source.count ? source[index + 2] : " "
        addText(upTo: index, sign: sign, lstrip: tag != "{")
        if tag == "%", let body = rawBody(index) {
            advance(to: body)
            return try raw()
        }
        advance(to: index + (sign == "-" || sign == "+" ? 3 : 2))
        switch tag {
        case "#": try comment()
        case "%": try tokens(block: true)
        default: try tokens(block: false)
        }
    }

    /// Adds the text before a tag, less the white space that the tag takes away.
    private mutating func addText(upTo end: Int, sign: Unicode.Scalar, lstrip: Bool) {
        var text = source[position..<end]
        if sign == "-" {
            while let last = text.last, last.isPythonSpace { text.removeLast() }
        } else if sign != "+", lstrip, settings.lstripsBlocks {
            let start = text.lastIndex(of: "\n").map { $0 + 1 } ?? position
            let startsLine = start > position || position == 0 || source[position - 1] == "\n"
            if startsLine, text[start...].allSatisfy(\.isPythonSpace) { text = text[..<start] }
        }
        if !text.isEmpty { add(.data(String(scalars: text))) }
    }

    /// Where the body of a raw block starts whose tag starts at `index`; nil if there is no such tag.
    private func rawBody(_ index: Int) -> Int? {
        guard let end = wordTag("raw", at: index) else { return nil }
        if has("-%}", at: end) { return skippingSpace(end + 3) }
        return has("%}", at: end) ? end + 2 : nil
    }

    /// What follows `{%`, a sign, the word, and spaces.
    private func wordTag(_ word: StaticString, at index: Int) -> Int? {
        guard has("{%", at: index) else { return nil }
        var index = index + 2
        if has("-", at: index) || has("+", at: index) { index += 1 }
        index = skippingSpace(index)
        return has(word, at: index) ? skippingSpace(index + word.utf8CodeUnitCount) : nil
    }

    private mutating func raw() throws(JinjaError) {
        var index = position
        while index < source.count {
            if source[index] == "{", let end = wordTag("endraw", at: index), let next = blockEnd(end) {
                addText(upTo: index, sign: source[index + 2], lstrip: true)
                return advance(to: next)
            }
            index += 1
        }
        throw error("missing end of raw block")
    }

    private mutating func comment() throws(JinjaError) {
        var index = position
        while !has("#}", at: index) {
            guard index < source.count else { throw error("missing end of comment") }
            index += 1
        }
        let sign = index > position ? source[index - 1] : " "
        index += 2
        if sign == "-" {
            index = skippingSpace(index)
        } else if sign != "+", settings.trimsBlocks, has("\n", at: index) {
            index += 1
        }
        advance(to: index)
    }

    /// What follows the end of a block's tag at `index`; nil if there is none.
    private func blockEnd(_ index: Int) -> Int? {
        if has("-%}", at: index) { return skippingSpace(index + 3) }
        if has("+%}", at: index) { return index + 3 }
        guard has("%}", at: index) else { return nil }
        return settings.trimsBlocks && has("\n", at: index + 2) ? index + 3 : index + 2
    }

    private func variableEnd(_ index: Int) -> Int? {
        if has("-}}", at: index) { return skippingSpace(index + 3) }
        return has("}}", at: index) ? index + 2 : nil
    }

    /// The tokens of a tag, its end included.
    private mutating func tokens(block: Bool) throws(JinjaError) {
        add(block ? .blockBegin : .variableBegin)
        var open: [Unicode.Scalar] = []
        while position < source.count {
            if open.isEmpty, let end = block ? blockEnd(position) : variableEnd(position) {
                add(block ? .blockEnd : .variableEnd)
                return advance(to: end)
            }
            let scalar = source[position]
            if scalar.isPythonSpace {
                advance(to: position + 1)
            } else if scalar.isASCIIDigit {
                add(try number())
            } else if scalar.isWordCharacter {
                add(.name(name()))
            } else if scalar == "'" || scalar == "\"" {
                let start = line
                let text = try string()
                tokens.append(Token(kind: .string(text), line: start))
            } else {
                add(.symbol(try symbol(&open)))
            }
        }
    }

    private mutating func name() -> String {
        var end = position
        while end < source.count, source[end].isWordCharacter { end += 1 }
        defer { advance(to: end) }
        return String(scalars: source[position..<end])
    }

    /// An operator or a bracket; `open` holds the closing brackets still due.
    private mutating func symbol(_ open: inout [Unicode.Scalar]) throws(JinjaError) -> String {
        let scalar = source[position]
        switch scalar {
        case "(": open.append(")")
        case "[": open.append("]")
        case "{": open.append("}")
        case ")", "]", "}":
            guard let due = open.popLast() else { throw error("unexpected '\(scalar)'") }
            guard due == scalar else { throw error("unexpected '\(scalar)', expected '\(due)'") }
        default: break
        }
        if position + 1 < source.count {
            let pair = String(scalars: [scalar, source[position + 1]])
            if ["//", "**", "==", "!=", ">=", "<="].contains(pair) {
                position += 2
                return pair
            }
        }
        guard "+-/*%~[](){}><=.:|,;".unicodeScalars.contains(scalar) else { throw error("unexpected character '\(scalar)'") }
        position += 1
        return String(scalar)
    }
}
