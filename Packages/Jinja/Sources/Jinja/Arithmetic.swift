import Foundation

/// Python's arithmetic, with 64-bit integers.
extension Renderer {
    func negated(_ value: Value) throws(JinjaError) -> Value {
        if let integer = value.integer { return .int(try checked((0).subtractingReportingOverflow(integer))) }
        guard case .double(let number) = value else { throw unary("-", value) }
        return .double(-number)
    }

    func positive(_ value: Value) throws(JinjaError) -> Value {
        if let integer = value.integer { return .int(integer) }
        guard case .double = value else { throw unary("+", value) }
        return value
    }

    private func unary(_ symbol: String, _ value: Value) -> JinjaError {
        if case .undefined(let undefined) = value { return fault(undefined.message) }
        return fault("bad operand type for unary \(symbol): '\(value.type)'")
    }

    func checked(_ result: (partialValue: Int, overflow: Bool)) throws(JinjaError) -> Int {
        guard !result.overflow else { throw fault("an integer that needs more than 64 bits") }
        return result.partialValue
    }

    func arithmetic(_ operation: Arithmetic, _ left: Value, _ right: Value) throws(JinjaError) -> Value {
        if operation == .modulo, case .string(let format) = left {
            return .string(try percent(format, right))
        }
        if let left = left.integer, let right = right.integer { return try integers(operation, left, right) }
        if let left = left.number, let right = right.number { return .double(try doubles(operation, left, right)) }
        for case .undefined(let undefined) in [left, right] { throw fault(undefined.message) }
        switch (operation, left, right) {
        case (.add, .string(let left), .string(let right)):
            try charge(bytes: left.utf8.count + right.utf8.count)
            return .string(left + right)
        case (.add, .list(let left), .list(let right)): return try list(left.elements + right.elements)
        case (.add, .tuple(let left), .tuple(let right)): return .tuple(try items(left.elements + right.elements))
        case (.multiply, _, _):
            if let count = right.integer { return try repeated(left, count) }
            if let count = left.integer { return try repeated(right, count) }
        case (.add, .string, _): throw fault("can only concatenate str (not \"\(right.type)\") to str")
        case (.add, .list, _): throw fault("can only concatenate list (not \"\(right.type)\") to list")
        default: break
        }
        throw unsupported(operation.rawValue, left, right)
    }

    private func unsupported(_ symbol: String, _ left: Value, _ right: Value) -> JinjaError {
        fault("unsupported operand type(s) for \(symbol): '\(left.type)' and '\(right.type)'")
    }

    private func repeated(_ value: Value, _ count: Int) throws(JinjaError) -> Value {
        let count = max(0, count)
        switch value {
        case .string(let text):
            let (bytes, overflow) = text.utf8.count.multipliedReportingOverflow(by: count)
            try charge(bytes: overflow ? Int.max : bytes)
            return .string(text.isEmpty ? "" : String(repeating: text, count: count))
        case .list(let items), .tuple(let items):
            let (elements, overflow) = items.count.multipliedReportingOverflow(by: count)
            try charge(overflow ? Int.max : elements)
            let result = items.count == 0 ? [] : Array(repeatElement(items.elements, count: count).joined())
            if case .list = value { return try list(result) }
            return .tuple(try self.items(result))
        default: throw unsupported("*", value, .int(count))
        }
    }

    private func integers(_ operation: Arithmetic, _ left: Int, _ right: Int) throws(JinjaError) -> Value {
        switch operation {
        case .add: return .int(try checked(left.addingReportingOverflow(right)))
        case .subtract: return .int(try checked(left.subtractingReportingOverflow(right)))
        case .multiply: return .int(try checked(left.multipliedReportingOverflow(by: right)))
        case .divide:
            guard right != 0 else { throw fault("division by zero") }
            return .double(Double(left) / Double(right))
        case .floorDivide:
            guard right != 0 else { throw fault("integer division or modulo by zero") }
            let quotient = try checked(left.dividedReportingOverflow(by: right))
            let isExact = left.remainderReportingOverflow(dividingBy: right).partialValue == 0
            return .int(isExact || (left < 0) == (right < 0) ? quotient : quotient - 1)
        case .modulo:
            guard right != 0 else { throw fault("integer division or modulo by zero") }
            let rest = left.remainderReportingOverflow(dividingBy: right).partialValue
            return .int(rest != 0 && (rest < 0) != (right < 0) ? rest + right : rest)
        case .power: return try power(left, right)
        }
    }

    private func power(_ base: Int, _ exponent: Int) throws(JinjaError) -> Value {
        guard exponent >= 0 else {
            guard base != 0 else { throw fault("0.0 cannot be raised to a negative power") }
            return .double(pow(Double(base), Double(exponent)))
        }
        if base == 0 || base == 1 { return .int(exponent == 0 ? 1 : base) }
        if base == -1 { return .int(exponent % 2 == 0 ? 1 : -1) }
        var result = 1
        // Past 64 factors every other base has overflown.
        for _ in 0..<min(exponent, 65) { result = try checked(result.multipliedReportingOverflow(by: base)) }
        return .int(result)
    }

    private func doubles(_ operation: Arithmetic, _ left: Double, _ right: Double) throws(JinjaError) -> Double {
        switch operation {
        case .add: return left + right
        case .subtract: return left - right
        case .multiply: return left * right
        case .divide:
            guard right != 0 else { throw fault("float division by zero") }
            return left / right
        case .floorDivide:
            guard right != 0 else { throw fault("float floor division by zero") }
            let quotient = (left - modulo(left, right)) / right
            let floor = quotient.rounded(.down)
            return quotient - floor > 0.5 ? floor + 1 : floor
        case .modulo:
            guard right != 0 else { throw fault("float modulo") }
            return modulo(left, right)
        case .power:
            guard left != 0 || right >= 0 else { throw fault("0.0 cannot be raised to a negative power") }
            guard left >= 0 || right == right.rounded() else { throw fault("a power that is no real number") }
            return pow(left, right)
        }
    }

    private func modulo(_ left: Double, _ right: Double) -> Double {
        let rest = fmod(left, right)
        if rest == 0 { return right < 0 ? -0.0 : 0.0 }
        return (rest < 0) != (right < 0) ? rest + right : rest
    }
}
