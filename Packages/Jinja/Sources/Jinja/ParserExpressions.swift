/// Expressions, by jinja2's order of precedence.
extension Parser {
    func make(_ node: Expression.Node, line: Int, over parts: [Expression] = []) throws(JinjaError) -> Expression {
        let height = 1 + (parts.map(\.height).max() ?? 0)
        guard height <= JinjaLimits.height else {
            throw JinjaError(.limit, line: line, reason: "an expression of more than \(JinjaLimits.height) levels")
        }
        return Expression(node, line: line, height: height)
    }

    /// An expression, or a tuple where commas follow; `end` is a name that ends it.
    mutating func tuple(
        conditionals: Bool = true, end: String? = nil, parentheses: Bool = false
    ) throws(JinjaError) -> Expression {
        let line = current.line
        var parts: [Expression] = []
        var isTuple = false
        while true {
            if current.kind == .variableEnd || current.kind == .blockEnd || isSymbol(")") { break }
            if let end, isName(end) { break }
            parts.append(try expression(conditionals: conditionals))
            guard takeSymbol(",") else { break }
            isTuple = true
        }
        if !isTuple {
            if let first = parts.first { return first }
            guard parentheses else { throw error("expected an expression, found \(current.kind.words)") }
        }
        return try make(.tuple(parts), line: line, over: parts)
    }

    mutating func expression(conditionals: Bool = true) throws(JinjaError) -> Expression {
        try nested { parser throws(JinjaError) in try parser.conditional(conditionals) }
    }

    private mutating func conditional(_ conditionals: Bool) throws(JinjaError) -> Expression {
        var then = try binary(.or)
        while conditionals, isName("if") {
            let line = current.line
            advance()
            let test = try binary(.or)
            let otherwise = takeName("else") ? try expression() : nil
            then = try make(
                .conditional(test: test, then: then, otherwise: otherwise), line: line,
                over: [test, then] + [otherwise].compactMap { $0 })
        }
        return then
    }

    /// How tightly an operator binds, from the loosest.
    enum Precedence: Int, Comparable {
        case or, and, not, comparison, sum, concatenation, product, power, tightest

        static func < (left: Precedence, right: Precedence) -> Bool { left.rawValue < right.rawValue }

        var tighter: Precedence { Precedence(rawValue: rawValue + 1) ?? .tightest }
    }

    /// The precedence of the operator that comes next; nil where there is none.
    private var precedence: Precedence? {
        switch current.kind {
        case .name("or"): .or
        case .name("and"): .and
        case .name("in"): .comparison
        case .name("not") where next.kind == .name("in"): .comparison
        case .symbol(let symbol):
            switch symbol {
            case "==", "!=", "<", "<=", ">", ">=": .comparison
            case "+", "-": .sum
            case "~": .concatenation
            case "*", "/", "//", "%": .product
            case "**": .power
            default: nil
            }
        default: nil
        }
    }

    /// An expression of operators that bind at least as tightly as `minimum`.
    private mutating func binary(_ minimum: Precedence) throws(JinjaError) -> Expression {
        let line = current.line
        var left: Expression
        var tightest = Precedence.tightest
        if minimum <= .not, isName("not") {
            advance()
            let operand = try nested { parser throws(JinjaError) in try parser.binary(.not) }
            left = try make(.not(operand), line: line, over: [operand])
            tightest = .and
        } else {
            left = try unary(filters: true)
        }
        while let precedence, precedence >= minimum, precedence <= tightest {
            left = try operation(left, precedence, line)
        }
        return left
    }

    /// `left`, the operator that comes next, and what is on its right.
    private mutating func operation(
        _ left: Expression, _ precedence: Precedence, _ line: Int
    ) throws(JinjaError) -> Expression {
        switch precedence {
        case .comparison: return try comparison(left, line)
        case .concatenation:
            var parts = [left]
            while takeSymbol("~") { parts.append(try binary(.product)) }
            return try make(.concatenation(parts), line: line, over: parts)
        case .or, .and:
            advance()
            let right = try binary(precedence.tighter)
            return try make(precedence == .or ? .or(left, right) : .and(left, right), line: line, over: [left, right])
        default:
            guard case .symbol(let symbol) = current.kind, let operation = Arithmetic(rawValue: symbol) else {
                throw error("unexpected \(current.kind.words)")
            }
            advance()
            let right = try binary(precedence.tighter)
            return try make(.arithmetic(operation, left, right), line: line, over: [left, right])
        }
    }

    private mutating func comparison(_ left: Expression, _ line: Int) throws(JinjaError) -> Expression {
        var comparisons: [Comparison] = []
        var operands: [Expression] = []
        while precedence == .comparison {
            switch current.kind {
            case .symbol(let symbol):
                guard let comparison = Comparison(rawValue: symbol) else { throw error("unexpected '\(symbol)'") }
                comparisons.append(comparison)
            case .name("not"):
                advance()
                comparisons.append(.isNotIn)
            default: comparisons.append(.isIn)
            }
            advance()
            operands.append(try binary(.sum))
        }
        return try make(.comparison(left, comparisons, operands), line: line, over: [left] + operands)
    }

    private mutating func unary(filters: Bool) throws(JinjaError) -> Expression {
        let line = current.line
        var result: Expression
        if isSymbol("-") || isSymbol("+") {
            let isNegative = isSymbol("-")
            advance()
            let operand = try nested { parser throws(JinjaError) in try parser.unary(filters: false) }
            result = try make(isNegative ? .negative(operand) : .positive(operand), line: line, over: [operand])
        } else {
            result = try primary()
        }
        result = try postfix(result)
        return filters ? try filtered(result) : result
    }

    private mutating func primary() throws(JinjaError) -> Expression {
        let token = current
        advance()
        switch token.kind {
        case .name(let name):
            switch name {
            case "true", "True": return try make(.bool(true), line: token.line)
            case "false", "False": return try make(.bool(false), line: token.line)
            case "none", "None": return try make(.none, line: token.line)
            default:
                names.insert(name)
                return try make(.name(name), line: token.line)
            }
        case .string(var text):
            while case .string(let more) = current.kind {
                text += more
                advance()
            }
            return try make(.string(text), line: token.line)
        case .integer(let value): return try make(.int(value), line: token.line)
        case .float(let value): return try make(.double(value), line: token.line)
        case .symbol("("):
            let result = try tuple(parentheses: true)
            try expectSymbol(")")
            return result
        case .symbol("["):
            let parts = try elements(until: "]") { parser throws(JinjaError) in [try parser.expression()] }
            return try make(.list(parts), line: token.line, over: parts)
        case .symbol("{"):
            let parts = try elements(until: "}") { parser throws(JinjaError) in
                let key = try parser.expression()
                try parser.expectSymbol(":")
                return [key, try parser.expression()]
            }
            return try make(.dictionary(parts), line: token.line, over: parts)
        default: throw error("unexpected \(token.kind.words)", line: token.line)
        }
    }

    /// Elements between commas, a comma at the end allowed.
    private mutating func elements(
        until end: String, _ element: (inout Parser) throws(JinjaError) -> [Expression]
    ) throws(JinjaError) -> [Expression] {
        var parts: [Expression] = []
        while !isSymbol(end) {
            parts += try element(&self)
            guard takeSymbol(",") else { break }
        }
        try expectSymbol(end)
        return parts
    }

    /// Attributes, subscripts and calls after `value`.
    private mutating func postfix(_ value: Expression) throws(JinjaError) -> Expression {
        var value = value
        while true {
            let line = current.line
            if takeSymbol(".") {
                value = try attribute(value, line)
            } else if takeSymbol("[") {
                value = try subscripted(value, line)
            } else if isSymbol("(") {
                let arguments = try arguments()
                value = try make(.call(value, arguments), line: line, over: [value] + arguments.all)
            } else {
                return value
            }
        }
    }

    private mutating func attribute(_ value: Expression, _ line: Int) throws(JinjaError) -> Expression {
        defer { advance() }
        switch current.kind {
        case .name(let name): return try make(.attribute(value, name), line: line, over: [value])
        case .integer(let index):
            let item = try make(.int(index), line: line)
            return try make(.item(value, item), line: line, over: [value])
        default: throw error("expected a name or a number after '.'")
        }
    }

    private mutating func subscripted(_ value: Expression, _ line: Int) throws(JinjaError) -> Expression {
        var bounds: [Expression?] = []
        var bound: Expression?
        while !isSymbol("]") {
            if takeSymbol(":") {
                bounds.append(bound)
                bound = nil
            } else {
                guard bound == nil else { throw error("expected ']', found \(current.kind.words)") }
                bound = try expression()
            }
        }
        advance()
        bounds.append(bound)
        switch bounds.count {
        case 1:
            guard let bound else { throw error("an empty subscript", line: line) }
            return try make(.item(value, bound), line: line, over: [value, bound])
        case 2, 3:
            let step = bounds.count == 3 ? bounds[2] : nil
            return try make(
                .slice(value, start: bounds[0], stop: bounds[1], step: step), line: line,
                over: [value] + bounds.compactMap { $0 })
        default: throw error("a slice of more than three parts", line: line)
        }
    }

    /// Filters, tests and calls after `value`.
    private mutating func filtered(_ value: Expression) throws(JinjaError) -> Expression {
        var value = value
        while true {
            let line = current.line
            if takeSymbol("|") {
                let filter = try filter()
                value = try make(.filter(value, filter), line: line, over: [value] + filter.arguments.all)
            } else if takeName("is") {
                value = try test(value, line)
            } else if isSymbol("(") {
                let arguments = try arguments()
                value = try make(.call(value, arguments), line: line, over: [value] + arguments.all)
            } else {
                return value
            }
        }
    }

    /// The filters of a filter block or a block `set`; the first comes without its bar where `first` is true.
    mutating func filterChain(first: Bool) throws(JinjaError) -> [FilterCall] {
        var filters = first ? [try filter()] : []
        while takeSymbol("|") { filters.append(try filter()) }
        return filters
    }

    private mutating func filter() throws(JinjaError) -> FilterCall {
        let line = current.line
        let text = try expectName()
        guard let name = FilterName(rawValue: text) else { throw error("no filter named '\(text)'", line: line) }
        return FilterCall(name: name, arguments: isSymbol("(") ? try arguments() : Arguments())
    }

    private mutating func test(_ value: Expression, _ line: Int) throws(JinjaError) -> Expression {
        let isNegated = takeName("not")
        let text = try expectName()
        guard let name = TestName(rawValue: text) else { throw error("no test named '\(text)'", line: line) }
        var arguments = Arguments()
        switch current.kind {
        case .symbol("("): arguments = try self.arguments()
        case .name("else"), .name("or"), .name("and"): break
        case .name("is"): throw error("tests cannot be chained with 'is'")
        case .name, .string, .integer, .float, .symbol("["), .symbol("{"):
            let operand = try nested { parser throws(JinjaError) in try parser.postfix(try parser.primary()) }
            arguments.positional = [operand]
        default: break
        }
        let test = try make(.test(value, name, arguments), line: line, over: [value] + arguments.all)
        return isNegated ? try make(.not(test), line: line, over: [test]) : test
    }

    /// The arguments of a call, parentheses included.
    mutating func arguments() throws(JinjaError) -> Arguments {
        var result = Arguments()
        let line = current.line
        func require(_ condition: Bool) throws(JinjaError) {
            guard condition else { throw error("arguments in an order that no call takes", line: line) }
        }
        try expectSymbol("(")
        while !isSymbol(")") {
            if takeSymbol("*") {
                try require(result.list == nil && result.dictionary == nil)
                result.list = try expression()
            } else if takeSymbol("**") {
                try require(result.dictionary == nil)
                result.dictionary = try expression()
            } else if case .name(let name) = current.kind, next.kind == .symbol("=") {
                try require(result.dictionary == nil && !result.names.contains(name))
                advance()
                advance()
                result.names.append(name)
                result.named.append(try expression())
            } else {
                try require(result.list == nil && result.dictionary == nil && result.names.isEmpty)
                result.positional.append(try expression())
            }
            guard takeSymbol(",") else { break }
        }
        try expectSymbol(")")
        return result
    }
}
