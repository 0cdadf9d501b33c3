/// The tests that `is` knows.
enum TestName: String, Sendable {
    case defined, undefined, none, boolean, integer, float, number, string, mapping, sequence, iterable, callable, escaped
    case isTrue = "true"
    case isFalse = "false"
    case odd, even, divisibleby, lower, upper, sameas, filter, test
    case isIn = "in"
    case eq, equalto, ne, lt, lessthan, le, gt, greaterthan, ge
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
}

/// The tests.
extension Renderer {
    @inline(never)
    func test(_ name: TestName, _ value: Value, _ arguments: CallArguments) throws(JinjaError) -> Bool {
        try charge()
        if let comparison = name.comparison { return try compare(comparison, value, try operand(name, arguments)) }
        switch name {
        case .isIn: return try contains(try operand(name, arguments), value)
        case .divisibleby: return try equal(try arithmetic(.modulo, value, try operand(name, arguments)), .int(0))
        case .sameas: return try isSame(value, try operand(name, arguments))
        default: break
        }
        guard arguments.positional.isEmpty, arguments.named.isEmpty else {
            throw fault("the test '\(name.rawValue)' takes no arguments")
        }
        switch name {
        case .odd: return try equal(try arithmetic(.modulo, value, .int(2)), .int(1))
        case .even: return try equal(try arithmetic(.modulo, value, .int(2)), .int(0))
        case .lower, .upper:
            let text = try string(value)
            try charge(characters: text)
            return holds(name == .lower ? "islower" : "isupper", of: text)
        case .filter: return value.text.flatMap { FilterName(rawValue: $0) } != nil
        case .test: return value.text.flatMap { TestName(rawValue: $0) } != nil
        default: return isType(name, value)
        }
    }

    private func operand(_ name: TestName, _ arguments: CallArguments) throws(JinjaError) -> Value {
        guard arguments.positional.count == 1, arguments.named.isEmpty else {
            throw fault("the test '\(name.rawValue)' takes one argument")
        }
        return arguments.positional[0]
    }

    private func isType(_ name: TestName, _ value: Value) -> Bool {
        switch (name, value) {
        case (.defined, _): !value.isUndefined
        case (.undefined, _): value.isUndefined
        case (.none, .none), (.boolean, .bool), (.isTrue, .bool(true)), (.isFalse, .bool(false)), (.integer, .int),
            (.float, .double), (.string, .string), (.mapping, .dictionary):
            true
        case (.number, _): value.number != nil
        case (.sequence, .undefined), (.sequence, .string), (.sequence, .list), (.sequence, .tuple), (.sequence, .dictionary),
            (.sequence, .range):
            true
        case (.iterable, _): value.isIterable
        case (.callable, _): value.isCallable
        default: false
        }
    }

    /// Python's `is`, as far as it shows: numbers and strings that are equal pass for one.
    private func isSame(_ left: Value, _ right: Value) throws(JinjaError) -> Bool {
        guard left.type == right.type else { return false }
        return try equal(left, right)
    }
}

extension TestName {
    /// The operator that the test stands for.
    var comparison: Comparison? {
        switch self {
        case .eq, .equalto, .equal: .equal
        case .ne, .notEqual: .notEqual
        case .lt, .lessthan, .less: .less
        case .le, .lessOrEqual: .lessOrEqual
        case .gt, .greaterthan, .greater: .greater
        case .ge, .greaterOrEqual: .greaterOrEqual
        default: nil
        }
    }
}
