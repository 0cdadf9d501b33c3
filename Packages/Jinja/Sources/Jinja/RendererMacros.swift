/// Values given to a function, a filter or a test.
struct CallArguments {
    var positional: [Value] = []
    var named: [(name: String, value: Value)] = []

    /// The argument at a place, or by its name.
    func value(_ index: Int, _ name: String) -> Value? {
        if index < positional.count { return positional[index] }
        return named.first { $0.name == name }?.value
    }

    /// As ``value(_:_:)``, where there must be one.
    func required(_ index: Int, _ name: String, of function: String, _ renderer: Renderer) throws(JinjaError) -> Value {
        guard let value = value(index, name) else { throw renderer.fault("\(function)() misses its argument '\(name)'") }
        return value
    }

    /// An integer, or nil where none is given.
    func integer(_ index: Int, _ name: String, _ renderer: Renderer) throws(JinjaError) -> Int? {
        guard let value = value(index, name), !value.isNone else { return nil }
        if case .undefined(let undefined) = value { throw renderer.fault(undefined.message) }
        guard let integer = value.integer else {
            throw renderer.fault("'\(value.type)' object cannot be interpreted as an integer")
        }
        return integer
    }

    /// A truth value, false where none is given.
    func flag(_ index: Int, _ name: String) -> Bool { value(index, name)?.isTrue ?? false }

    /// Fails where there are more arguments than places, or a name that is none of the function's.
    func check(_ names: [String], of function: String, _ renderer: Renderer) throws(JinjaError) {
        guard positional.count <= names.count else {
            throw renderer.fault("\(function)() takes at most \(names.count) arguments, \(positional.count) given")
        }
        for (name, _) in named {
            guard let place = names.firstIndex(of: name) else {
                throw renderer.fault("\(function)() got an unexpected keyword argument '\(name)'")
            }
            guard place >= positional.count else {
                throw renderer.fault("\(function)() got multiple values for argument '\(name)'")
            }
        }
    }
}

/// Macros and the functions that every template has.
extension Renderer {
    func define(_ macro: Macro, _ scope: Scope) throws(JinjaError) -> Value {
        try checkTables()
        macros.append((macro, scope))
        return .macro(macros.count - 1)
    }

    @inline(never)
    func call(macro number: Int, _ arguments: CallArguments) throws(JinjaError) -> String {
        let (macro, outer) = macros[number]
        let scope = Scope(outer)
        try bind(arguments, macro, scope)
        return try captured { () throws(JinjaError) in _ = try run(macro.body, scope) }
    }

    /// Sets the macro's parameters in `scope`.
    @inline(never)
    private func bind(_ arguments: CallArguments, _ macro: Macro, _ scope: Scope) throws(JinjaError) {
        var named = arguments.named
        func take(_ name: String) -> Value? {
            guard let place = named.firstIndex(where: { $0.name == name }) else { return nil }
            return named.remove(at: place).value
        }
        let firstDefault = macro.parameters.count - macro.defaults.count
        for (index, parameter) in macro.parameters.enumerated() {
            if index < arguments.positional.count {
                scope.variables[parameter] = arguments.positional[index]
            } else if let value = take(parameter) {
                scope.variables[parameter] = value
            } else if index >= firstDefault {
                scope.variables[parameter] = try evaluate(macro.defaults[index - firstDefault], scope)
            } else {
                scope.variables[parameter] = .undefined(.hint("parameter '\(parameter)' was not provided"))
            }
        }
        if macro.names.contains("caller"), !macro.parameters.contains("caller") {
            scope.variables["caller"] = take("caller") ?? .undefined(.hint("No caller defined"))
        }
        if macro.names.contains("kwargs") {
            scope.variables["kwargs"] = try dictionary(named.map { (.string($0.name), $0.value) })
        } else if let (name, _) = named.first {
            throw fault("macro '\(macro.name)' takes no keyword argument '\(name)'")
        }
        let rest = arguments.positional.dropFirst(macro.parameters.count)
        if macro.names.contains("varargs") {
            scope.variables["varargs"] = .tuple(try items(Array(rest)))
        } else if !rest.isEmpty {
            throw fault("macro '\(macro.name)' takes not more than \(macro.parameters.count) argument(s)")
        }
    }

    @inline(never)
    func call(_ function: GlobalFunction, _ arguments: CallArguments) throws(JinjaError) -> Value {
        switch function {
        case .range: return try range(arguments)
        case .dict: return try dict(arguments)
        case .namespace:
            guard case .dictionary(let dictionary) = try dict(arguments) else { return .none }
            try checkTables()
            namespaces.append([])
            let number = namespaces.count - 1
            for (key, value) in zip(dictionary.keys, dictionary.values) {
                try set(try string(key), to: value, in: number)
            }
            return .namespace(number)
        case .raiseException:
            let message = try string(try arguments.required(0, "message", of: "raise_exception", self))
            throw JinjaError(.raised, line: line, reason: message)
        case .strftimeNow:
            guard let format = try arguments.required(0, "format", of: "strftime_now", self).text else {
                throw fault("strftime_now() takes a string")
            }
            try charge(bytes: format.utf8.count)
            return .string(clock.text(format))
        }
    }

    private func range(_ arguments: CallArguments) throws(JinjaError) -> Value {
        try arguments.check(["start", "stop", "step"], of: "range", self)
        var bounds: [Int] = []
        for index in arguments.positional.indices { bounds.append(try arguments.integer(index, "", self) ?? 0) }
        let step = bounds.count == 3 ? bounds[2] : 1
        guard !bounds.isEmpty, step != 0 else {
            throw fault(bounds.isEmpty ? "range expected at least 1 argument, got 0" : "range() arg 3 must not be zero")
        }
        let (start, stop) = bounds.count == 1 ? (0, bounds[0]) : (bounds[0], bounds[1])
        guard let range = PythonRange(start: start, stop: stop, step: step) else {
            throw limit("a range of more than \(JinjaLimits.rangeCount) elements")
        }
        return .range(range)
    }

    /// A dictionary of another one, or of pairs, and of named arguments.
    private func dict(_ arguments: CallArguments) throws(JinjaError) -> Value {
        var members: [(key: DictionaryKey, value: Value)] = []
        guard arguments.positional.count <= 1 else {
            throw fault("dict expected at most 1 argument, got \(arguments.positional.count)")
        }
        if case .dictionary(let dictionary)? = arguments.positional.first {
            for (key, value) in zip(dictionary.keys, dictionary.values) { members.append((try self.key(key), value)) }
        } else if let pairs = arguments.positional.first {
            for pair in try elements(of: pairs) {
                let pair = try elements(of: pair)
                guard pair.count == 2 else { throw fault("a dictionary is made of pairs, found \(pair.count) elements") }
                members.append((try key(pair[0]), pair[1]))
            }
        }
        for (name, value) in arguments.named { members.append((.string(name), value)) }
        return try dictionary(members)
    }
}
