/// The value of expressions.
extension Renderer {
    // As with statements, each kind of expression has a function of its own: the stack is what templates are limited by.

    func evaluate(_ expression: Expression, _ scope: Scope) throws(JinjaError) -> Value {
        try enter()
        defer { leave() }
        switch expression.node {
        case .none: return .none
        case .bool(let value): return .bool(value)
        case .int(let value): return .int(value)
        case .double(let value): return .double(value)
        case .string(let text): return .string(text)
        case .name(let name): return try variable(name, scope)
        case .attribute(let object, let name): return try attribute(name, of: object, scope)
        case .item(let object, let key): return try item(key, of: object, scope)
        case .call(let callee, let arguments): return try call(callee, arguments, scope, caller: nil)
        case .filter(let operand, let filter): return try self.filter(operand, filter, scope)
        case .test(let operand, let name, let arguments): return try test(operand, name, arguments, scope)
        case .arithmetic(let operation, let left, let right): return try arithmetic(operation, left, right, scope)
        case .concatenation(let parts): return try concatenation(parts, scope)
        case .comparison(let left, let comparisons, let operands): return try chain(left, comparisons, operands, scope)
        case .and(let left, let right): return try either(left, right, scope, takesLeft: false)
        case .or(let left, let right): return try either(left, right, scope, takesLeft: true)
        case .conditional: return try conditional(expression, scope)
        case .slice(let object, let start, let stop, let step): return try slice(object, [start, stop, step], scope)
        case .negative, .positive, .not: return try unary(expression, scope)
        case .list, .tuple, .dictionary: return try display(expression, scope)
        }
    }

    @inline(never)
    private func variable(_ name: String, _ scope: Scope) throws(JinjaError) -> Value {
        try charge(bytes: name.utf8.count)
        if let value = scope[name] { return value }
        return GlobalFunction(rawValue: name).map { .function($0) } ?? .undefined(.variable(name))
    }

    @inline(never)
    private func attribute(_ name: String, of object: Expression, _ scope: Scope) throws(JinjaError) -> Value {
        try attribute(name, of: try evaluate(object, scope))
    }

    @inline(never)
    private func item(_ key: Expression, of object: Expression, _ scope: Scope) throws(JinjaError) -> Value {
        let object = try evaluate(object, scope)
        return try item(try evaluate(key, scope), of: object)
    }

    @inline(never)
    private func filter(_ operand: Expression, _ filter: FilterCall, _ scope: Scope) throws(JinjaError) -> Value {
        try apply(filter, to: try evaluate(operand, scope), scope)
    }

    @inline(never)
    private func test(
        _ operand: Expression, _ name: TestName, _ arguments: Arguments, _ scope: Scope
    ) throws(JinjaError) -> Value {
        let value = try evaluate(operand, scope)
        return .bool(try test(name, value, try evaluate(arguments, scope)))
    }

    @inline(never)
    private func arithmetic(
        _ operation: Arithmetic, _ left: Expression, _ right: Expression, _ scope: Scope
    ) throws(JinjaError) -> Value {
        let left = try evaluate(left, scope)
        return try arithmetic(operation, left, try evaluate(right, scope))
    }

    /// The first operand where its truth is `takesLeft`, or else the second.
    @inline(never)
    private func either(
        _ left: Expression, _ right: Expression, _ scope: Scope, takesLeft: Bool
    ) throws(JinjaError) -> Value {
        let value = try evaluate(left, scope)
        return try isTrue(value) == takesLeft ? value : try evaluate(right, scope)
    }

    @inline(never)
    private func conditional(_ expression: Expression, _ scope: Scope) throws(JinjaError) -> Value {
        guard case .conditional(let test, let then, let otherwise) = expression.node else { return .none }
        if try isTrue(try evaluate(test, scope)) { return try evaluate(then, scope) }
        if let otherwise { return try evaluate(otherwise, scope) }
        return .undefined(
            .hint("the inline if-expression on line \(expression.line) evaluated to false and no else section was defined."))
    }

    @inline(never)
    private func slice(_ object: Expression, _ bounds: [Expression?], _ scope: Scope) throws(JinjaError) -> Value {
        let value = try evaluate(object, scope)
        var values: [Value?] = []
        for bound in bounds {
            if let bound { values.append(try evaluate(bound, scope)) } else { values.append(nil) }
        }
        return try slice(value, values[0], values[1], values[2])
    }

    @inline(never)
    private func unary(_ expression: Expression, _ scope: Scope) throws(JinjaError) -> Value {
        switch expression.node {
        case .negative(let operand): try negated(try evaluate(operand, scope))
        case .positive(let operand): try positive(try evaluate(operand, scope))
        case .not(let operand): .bool(!(try isTrue(try evaluate(operand, scope))))
        default: .none
        }
    }

    /// A list, a tuple or a dictionary.
    @inline(never)
    private func display(_ expression: Expression, _ scope: Scope) throws(JinjaError) -> Value {
        switch expression.node {
        case .list(let parts): try list(try evaluate(parts, scope))
        case .tuple(let parts): .tuple(try items(try evaluate(parts, scope)))
        case .dictionary(let parts): try dictionary(parts, scope)
        default: .none
        }
    }

    @inline(never)
    func call(
        _ callee: Expression, _ arguments: Arguments, _ scope: Scope, caller: Value?
    ) throws(JinjaError) -> Value {
        let function = try evaluate(callee, scope)
        var values = try evaluate(arguments, scope)
        if let caller { values.named.append(("caller", caller)) }
        return try call(function, values)
    }

    @inline(never)
    func evaluate(_ parts: [Expression], _ scope: Scope) throws(JinjaError) -> [Value] {
        var values: [Value] = []
        values.reserveCapacity(parts.count)
        for part in parts { values.append(try evaluate(part, scope)) }
        return values
    }

    @inline(never)
    private func dictionary(_ parts: [Expression], _ scope: Scope) throws(JinjaError) -> Value {
        let values = try evaluate(parts, scope)
        var members: [(key: DictionaryKey, value: Value)] = []
        for index in stride(from: 0, to: values.count, by: 2) {
            members.append((try key(values[index]), values[index + 1]))
        }
        return try dictionary(members)
    }

    /// A value as a dictionary's key.
    func key(_ value: Value) throws(JinjaError) -> DictionaryKey {
        try charge(key: value)
        guard let key = DictionaryKey(value) else { throw fault("unhashable type: '\(value.type)'") }
        return key
    }

    @inline(never)
    private func concatenation(_ parts: [Expression], _ scope: Scope) throws(JinjaError) -> Value {
        var text = ""
        for part in parts {
            let part = try string(try evaluate(part, scope))
            try charge(bytes: part.utf8.count)
            text += part
            guard text.utf8.count <= limits.stringBytes else { throw limit("a string of more than \(limits.stringBytes) bytes") }
        }
        return .string(text)
    }

    @inline(never)
    private func chain(
        _ left: Expression, _ comparisons: [Comparison], _ operands: [Expression], _ scope: Scope
    ) throws(JinjaError) -> Value {
        var left = try evaluate(left, scope)
        for (comparison, operand) in zip(comparisons, operands) {
            let right = try evaluate(operand, scope)
            guard try compare(comparison, left, right) else { return .bool(false) }
            left = right
        }
        return .bool(true)
    }

    // MARK: Calls

    /// The arguments of a call, evaluated.
    @inline(never)
    func evaluate(_ arguments: Arguments, _ scope: Scope) throws(JinjaError) -> CallArguments {
        if arguments.positional.isEmpty, arguments.names.isEmpty, arguments.list == nil, arguments.dictionary == nil {
            return CallArguments()
        }
        var result = CallArguments(positional: try evaluate(arguments.positional, scope))
        for (name, value) in zip(arguments.names, arguments.named) { result.named.append((name, try evaluate(value, scope))) }
        if let list = arguments.list { result.positional += try elements(of: try evaluate(list, scope)) }
        if let expression = arguments.dictionary {
            guard case .dictionary(let dictionary) = try evaluate(expression, scope) else {
                throw fault("argument after ** must be a mapping")
            }
            try charge(dictionary.keys.count)
            for (key, value) in zip(dictionary.keys, dictionary.values) {
                guard let name = key.text else { throw fault("keywords must be strings") }
                result.named.append((name, value))
            }
        }
        return result
    }

    @inline(never)
    func call(_ function: Value, _ arguments: CallArguments) throws(JinjaError) -> Value {
        let outer = line
        defer { line = outer }
        switch function {
        case .macro(let number): return .string(try call(macro: number, arguments))
        case .method(let method): return try call(method, arguments)
        case .function(let function): return try call(function, arguments)
        case .loop(let loop): return .string(try recurse(loop, arguments))
        case .undefined(let undefined): throw fault(undefined.message)
        default: throw fault("'\(function.type)' object is not callable")
        }
    }

    @inline(never)
    private func recurse(_ loop: LoopState, _ arguments: CallArguments) throws(JinjaError) -> String {
        guard let number = loop.recursion else {
            throw fault("The loop must have the 'recursive' marker to be called recursively.")
        }
        let sequence = try arguments.required(0, "iterable", of: "loop", self)
        let (body, scope) = recursions[number]
        return try captured { () throws(JinjaError) in
            try run(body, sequence, scope, level: loop.level + 1, recursion: number)
        }
    }
}
