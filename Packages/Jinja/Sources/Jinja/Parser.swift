/// Reads tokens into statements; expressions are in another file.
struct Parser {
    private let tokens: [Token]
    private var position = 0
    private var nesting = 0
    /// Loops around the current statement that `break` can leave.
    private var loops = 0
    /// Names read so far within the current macro or loop.
    var names: Set<String> = []

    init(_ tokens: [Token]) { self.tokens = tokens }

    /// The whole template.
    mutating func template() throws(JinjaError) -> [Statement] {
        let (body, _) = try statements(until: [])
        return body
    }

    // MARK: Tokens

    var current: Token { tokens[position] }
    var next: Token { tokens[min(position + 1, tokens.count - 1)] }

    func error(_ reason: String, line: Int? = nil) -> JinjaError {
        JinjaError(.syntax, line: line ?? current.line, reason: reason)
    }

    mutating func advance() { if position + 1 < tokens.count { position += 1 } }

    func isSymbol(_ symbol: String) -> Bool { current.kind == .symbol(symbol) }

    func isName(_ name: String) -> Bool { current.kind == .name(name) }

    mutating func takeSymbol(_ symbol: String) -> Bool {
        guard isSymbol(symbol) else { return false }
        advance()
        return true
    }

    mutating func takeName(_ name: String) -> Bool {
        guard isName(name) else { return false }
        advance()
        return true
    }

    mutating func expect(_ kind: Token.Kind) throws(JinjaError) {
        guard current.kind == kind else { throw error("expected \(kind.words), found \(current.kind.words)") }
        advance()
    }

    mutating func expectSymbol(_ symbol: String) throws(JinjaError) { try expect(.symbol(symbol)) }

    mutating func expectName() throws(JinjaError) -> String {
        guard case .name(let name) = current.kind else { throw error("expected a name, found \(current.kind.words)") }
        advance()
        return name
    }

    /// Runs `body` one level deeper, where there is a level left.
    mutating func nested<T>(_ body: (inout Parser) throws(JinjaError) -> T) throws(JinjaError) -> T {
        nesting += 1
        defer { nesting -= 1 }
        guard nesting <= JinjaLimits.nesting else {
            throw JinjaError(.limit, line: current.line, reason: "more than \(JinjaLimits.nesting) levels of nesting")
        }
        return try body(&self)
    }

    // MARK: Statements

    /// Statements up to one of the tags in `ends`, which is consumed but for its arguments, or to the end of the template.
    private mutating func statements(until ends: [String]) throws(JinjaError) -> ([Statement], end: String) {
        var body: [Statement] = []
        while true {
            let token = current
            advance()
            switch token.kind {
            case .data(let text): body.append(Statement(.text(text), line: token.line))
            case .variableBegin:
                body.append(Statement(.print(try tuple()), line: token.line))
                try expect(.variableEnd)
            case .blockBegin:
                guard case .name(let name) = current.kind else { throw error("expected the name of a tag") }
                if ends.contains(name) {
                    advance()
                    return (body, name)
                }
                body.append(try nested { parser throws(JinjaError) in try parser.statement(name) })
                try expect(.blockEnd)
            default:
                guard ends.isEmpty else { throw error("the template ends before '\(ends.last ?? "")'") }
                return (body, "")
            }
        }
    }

    /// The body of a block after its tag, through `end`.
    private mutating func body(until end: String) throws(JinjaError) -> [Statement] {
        try branch(until: [end]).0
    }

    private mutating func branch(until ends: [String]) throws(JinjaError) -> ([Statement], end: String) {
        _ = takeSymbol(":")
        try expect(.blockEnd)
        return try statements(until: ends)
    }

    private mutating func statement(_ name: String) throws(JinjaError) -> Statement {
        let line = current.line
        advance()
        return Statement(try node(name, line), line: line)
    }

    private mutating func node(_ name: String, _ line: Int) throws(JinjaError) -> Statement.Node {
        switch name {
        case "if": return try branches()
        case "for": return try loop()
        case "set": return try set()
        case "macro":
            let name = try expectName()
            return .macro(try macro(name, signature: try signature(), end: "endmacro"))
        case "call": return try call(line)
        case "with": return try with()
        case "filter":
            let filters = try filterChain(first: true)
            return .filter(filters, try body(until: "endfilter"))
        case "generation":
            return .generation(try withoutLoops { parser throws(JinjaError) in try parser.body(until: "endgeneration") })
        case "break", "continue":
            guard loops > 0 else { throw error("'\(name)' outside of a loop", line: line) }
            return name == "break" ? .exitLoop : .nextIteration
        case "extends", "include", "import", "from", "block", "autoescape", "print", "do", "trans", "debug":
            throw error("the tag '\(name)' is not supported", line: line)
        default: throw error("unknown tag '\(name)'", line: line)
        }
    }

    private mutating func branches() throws(JinjaError) -> Statement.Node {
        var tests = [try tuple(conditionals: false)]
        var bodies: [[Statement]] = []
        while true {
            let (body, end) = try branch(until: ["elif", "else", "endif"])
            bodies.append(body)
            switch end {
            case "elif": tests.append(try tuple(conditionals: false))
            case "else":
                bodies.append(try self.body(until: "endif"))
                return .branch(tests, bodies)
            default: return .branch(tests, bodies)
            }
        }
    }

    private mutating func loop() throws(JinjaError) -> Statement.Node {
        let target = try target(end: "in")
        guard takeName("in") else { throw error("expected 'in', found \(current.kind.words)") }
        let sequence = try tuple(conditionals: false, end: "recursive")
        let test = takeName("if") ? try expression() : nil
        let isRecursive = takeName("recursive")
        let outer = names
        names = []
        loops += 1
        let (body, end) = try branch(until: ["else", "endfor"])
        loops -= 1
        let usesLoop = names.contains("loop")
        names.formUnion(outer)
        let otherwise = end == "else" ? try self.body(until: "endfor") : []
        return .loop(
            ForLoop(
                target: target, sequence: sequence, test: test, isRecursive: isRecursive, body: body, otherwise: otherwise,
                usesLoop: usesLoop))
    }

    private mutating func set() throws(JinjaError) -> Statement.Node {
        let target = try target(attributes: true)
        if takeSymbol("=") { return .set(target, try tuple()) }
        let filters = try filterChain(first: false)
        return .setBlock(target, filters, try body(until: "endset"))
    }

    private mutating func with() throws(JinjaError) -> Statement.Node {
        var targets: [Target] = []
        var values: [Expression] = []
        while current.kind != .blockEnd {
            if !targets.isEmpty { try expectSymbol(",") }
            targets.append(try target())
            try expectSymbol("=")
            values.append(try expression())
        }
        return .with(targets, values, try body(until: "endwith"))
    }

    private typealias Signature = (parameters: [String], defaults: [Expression])

    private mutating func signature() throws(JinjaError) -> Signature {
        var result: Signature = ([], [])
        try expectSymbol("(")
        while !isSymbol(")") {
            if !result.parameters.isEmpty { try expectSymbol(",") }
            let name = try expectName()
            guard !result.parameters.contains(name) else { throw error("the parameter '\(name)' twice") }
            result.parameters.append(name)
            if takeSymbol("=") {
                result.defaults.append(try expression())
            } else if !result.defaults.isEmpty {
                throw error("a parameter without a default after one with a default")
            }
        }
        try expectSymbol(")")
        return result
    }

    private mutating func macro(_ name: String, signature: Signature, end: String) throws(JinjaError) -> Macro {
        let outer = names
        names = []
        let body = try withoutLoops { parser throws(JinjaError) in try parser.body(until: end) }
        let macro = Macro(
            name: name, parameters: signature.parameters, defaults: signature.defaults, body: body, names: names)
        names.formUnion(outer)
        return macro
    }

    private mutating func call(_ line: Int) throws(JinjaError) -> Statement.Node {
        let signature = isSymbol("(") ? try signature() : ([], [])
        let call = try expression()
        guard case .call = call.node else { throw error("expected a call", line: line) }
        return .call(call, try macro("caller", signature: signature, end: "endcall"))
    }

    /// Runs `body` where no loop can be left: a macro's body is a function of its own.
    private mutating func withoutLoops(
        _ body: (inout Parser) throws(JinjaError) -> [Statement]
    ) throws(JinjaError) -> [Statement] {
        let outer = loops
        loops = 0
        let result = try body(&self)
        loops = outer
        return result
    }

    // MARK: Targets

    /// The target of an assignment: a name, names between commas, or with `attributes` a namespace's attribute.
    private mutating func target(attributes: Bool = false, end: String? = nil) throws(JinjaError) -> Target {
        try nested { parser throws(JinjaError) in try parser.targets(attributes, end) }
    }

    private mutating func targets(_ attributes: Bool, _ end: String?) throws(JinjaError) -> Target {
        var parts: [Target] = []
        var isTuple = false
        while true {
            if current.kind == .blockEnd || isSymbol(")") || isSymbol("=") || end.map({ isName($0) }) == true { break }
            if takeSymbol("(") {
                parts.append(try target(attributes: attributes))
                try expectSymbol(")")
            } else {
                let name = try expectName()
                guard !["true", "false", "none", "True", "False", "None"].contains(name) else {
                    throw error("cannot assign to '\(name)'")
                }
                if attributes, takeSymbol(".") {
                    parts.append(.attribute(name, try expectName()))
                } else {
                    parts.append(.name(name))
                }
            }
            guard takeSymbol(",") else { break }
            isTuple = true
        }
        guard let first = parts.first else { throw error("expected a name, found \(current.kind.words)") }
        return isTuple ? .tuple(parts) : first
    }
}

extension Token.Kind {
    /// The token as an error names it.
    var words: String {
        switch self {
        case .data: "text"
        case .blockBegin: "'{%'"
        case .blockEnd: "'%}'"
        case .variableBegin: "'{{'"
        case .variableEnd: "'}}'"
        case .name(let name): "'\(name)'"
        case .string: "a string"
        case .integer, .float: "a number"
        case .symbol(let symbol): "'\(symbol)'"
        case .end: "the end of the template"
        }
    }
}
