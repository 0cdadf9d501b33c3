/// The table of filters; the others of jinja2 are for HTML pages.
enum FilterName: String, Sendable {
    case abs, attr, batch, capitalize, center, count, d, `default`, dictsort, e, escape, first, float, forceescape, format
    case groupby, indent, int, items, join, last, length, list, lower, map, max, min, reject, rejectattr, replace, reverse
    case round, safe, select, selectattr, slice, sort, string, sum, title, tojson, trim, truncate, unique, upper, wordcount
}

/// The filters: those of one value here, those of text, of numbers and of lists in files of their own.
extension Renderer {
    @inline(never)
    func apply(_ filter: FilterCall, to value: Value, _ scope: Scope) throws(JinjaError) -> Value {
        try self.filter(filter.name, value, try evaluate(filter.arguments, scope))
    }

    @inline(never)
    func filter(_ name: FilterName, _ value: Value, _ arguments: CallArguments) throws(JinjaError) -> Value {
        try charge()
        if name != .default, name != .d { try refuseUndefined(value) }
        switch name {
        case .default, .d:
            try arguments.check(["default_value", "boolean"], of: "default", self)
            let isMissing = value.isUndefined || arguments.flag(1, "boolean") && !value.isTrue
            return isMissing ? arguments.value(0, "default_value") ?? .string("") : value
        case .length, .count:
            if case .string(let text) = value { try charge(bytes: text.utf8.count) }
            guard let count = value.count else { throw fault("object of type '\(value.type)' has no len()") }
            return .int(count)
        case .string, .safe: return .string(try string(value))
        case .tojson:
            let text = try JSONDump(arguments, self).text(value)
            try charge(bytes: text.utf8.count)
            return .string(text)
        case .items:
            if case .undefined = value { return .iterator(ValueIterator(.empty)) }
            guard case .dictionary(let dictionary) = value else { throw fault("Can only get item pairs from a mapping.") }
            return .iterator(ValueIterator(try items(dictionary.items)))
        case .attr:
            let name = try string(try arguments.required(0, "name", of: "attr", self))
            if case .dictionary = value, !["get", "items", "keys", "values"].contains(name) {
                return .undefined(.attribute(type: value.objectType, name: name))
            }
            return try attribute(name, of: value)
        case .abs, .int, .float, .round: return try number(name, value, arguments)
        case .capitalize, .center, .e, .escape, .forceescape, .format, .indent, .lower, .replace, .title, .trim, .truncate,
            .upper, .wordcount:
            return try text(name, value, arguments)
        case .map, .select, .reject, .selectattr, .rejectattr: return try iterator(name, value, arguments)
        case .first, .last, .list, .reverse, .join, .batch, .slice: return try sequence(name, value, arguments)
        case .sort, .unique, .dictsort, .groupby, .min, .max, .sum: return try aggregate(name, value, arguments)
        }
    }

    // MARK: Numbers

    private func number(_ name: FilterName, _ value: Value, _ arguments: CallArguments) throws(JinjaError) -> Value {
        switch name {
        case .int: return try integer(value, arguments)
        case .float:
            if case .undefined(let undefined) = value { throw fault(undefined.message) }
            let parsed = value.number ?? value.text.flatMap(PythonNumber.float)
            return parsed.map { .double($0) } ?? arguments.value(0, "default") ?? .double(0)
        default: break
        }
        if case .undefined(let undefined) = value { throw fault(undefined.message) }
        guard let number = value.number else { throw fault("\(name.rawValue) takes a number, not \(value.type)") }
        if name == .round { return try rounded(value, number, arguments) }
        if let integer = value.integer { return integer < 0 ? try negated(value) : .int(integer) }
        return .double(number.magnitude)
    }

    private func integer(_ value: Value, _ arguments: CallArguments) throws(JinjaError) -> Value {
        try arguments.check(["default", "base"], of: "int", self)
        if case .undefined(let undefined) = value { throw fault(undefined.message) }
        if let integer = value.integer { return .int(integer) }
        let base = try arguments.integer(1, "base", self) ?? 10
        if let text = value.text, let integer = PythonNumber.integer(text, base: base) { return .int(integer) }
        let number = value.number ?? value.text.flatMap(PythonNumber.float)
        guard let number, !number.isNaN else { return arguments.value(0, "default") ?? .int(0) }
        guard let integer = Int(exactly: number.rounded(.towardZero)) else {
            guard number.isFinite || value.text == nil else { return arguments.value(0, "default") ?? .int(0) }
            throw fault("an integer that needs more than 64 bits")
        }
        return .int(integer)
    }

    private func rounded(_ value: Value, _ number: Double, _ arguments: CallArguments) throws(JinjaError) -> Value {
        try arguments.check(["precision", "method"], of: "round", self)
        let precision = try arguments.integer(0, "precision", self) ?? 0
        let method = arguments.value(1, "method")?.text ?? "common"
        guard ["common", "ceil", "floor"].contains(method) else { throw fault("method must be common, ceil or floor") }
        guard (-300...300).contains(precision) else { throw fault("a precision beyond 300") }
        let scale = PythonNumber.powerOfTen(precision)
        if method != "common" { return .double((number * scale).rounded(method == "ceil" ? .up : .down) / scale) }
        if let integer = value.integer, precision >= 0 { return .int(integer) }
        let result = PythonNumber.rounded(number, precision)
        guard value.integer != nil else { return .double(result) }
        return Int(exactly: result).map { .int($0) } ?? .double(result)
    }
}
