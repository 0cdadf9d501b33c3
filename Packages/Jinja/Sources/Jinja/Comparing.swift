/// Equality, order and membership.
extension Renderer {
    func compare(_ comparison: Comparison, _ left: Value, _ right: Value) throws(JinjaError) -> Bool {
        switch comparison {
        case .equal: return try equal(left, right)
        case .notEqual: return try !equal(left, right)
        case .isIn: return try contains(right, left)
        case .isNotIn: return try !contains(right, left)
        case .less, .lessOrEqual, .greater, .greaterOrEqual: return try ordered(comparison, left, right)
        }
    }

    /// Python's `==`.
    func equal(_ left: Value, _ right: Value) throws(JinjaError) -> Bool {
        try charge()
        for value in [left, right] { try refuseUndefined(value) }
        switch (left, right) {
        case (.undefined, .undefined), (.none, .none): return true
        case (.string(let left), .string(let right)):
            guard left.utf8.count == right.utf8.count else { return false }
            try charge(bytes: left.utf8.count)
            return left.isSame(as: right)
        case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
            return try equal(left.elements, right.elements)
        case (.dictionary(let left), .dictionary(let right)):
            guard left.keys.count == right.keys.count else { return false }
            for (key, value) in zip(left.keys, left.values) {
                try charge(key: key)
                guard let key = DictionaryKey(key), let other = right[key], try equal(value, other) else { return false }
            }
            return true
        case (.range(let left), .range(let right)): return try equal(left.elements, right.elements)
        case (.namespace(let left), .namespace(let right)): return left == right
        case (.macro(let left), .macro(let right)): return left == right
        case (.loop(let left), .loop(let right)): return left === right
        case (.iterator(let left), .iterator(let right)): return left === right
        case (.view(let left), .view(let right)):
            guard left.type == right.type else { return false }
            return try equal(left.items.elements, right.items.elements)
        case (.function(let left), .function(let right)): return left == right
        default:
            if let left = left.integer, let right = right.integer { return left == right }
            guard let left = left.number, let right = right.number else { return false }
            return left == right
        }
    }

    private func equal(_ left: [Value], _ right: [Value]) throws(JinjaError) -> Bool {
        guard left.count == right.count else { return false }
        for (left, right) in zip(left, right) where try !equal(left, right) { return false }
        return true
    }

    /// One of Python's order operators.
    func ordered(_ comparison: Comparison, _ left: Value, _ right: Value) throws(JinjaError) -> Bool {
        try charge()
        switch (left, right) {
        case (.string(let left), .string(let right)):
            try charge(bytes: min(left.utf8.count, right.utf8.count))
            if left.isSame(as: right) { return comparison == .lessOrEqual || comparison == .greaterOrEqual }
            // UTF-8 has the order of the characters.
            return left.utf8.lexicographicallyPrecedes(right.utf8) == (comparison == .less || comparison == .lessOrEqual)
        case (.list(let first), .list(let second)), (.tuple(let first), .tuple(let second)):
            for (left, right) in zip(first.elements, second.elements) where try !equal(left, right) {
                return try ordered(comparison, left, right)
            }
            return Self.holds(comparison, first.count, second.count)
        default: break
        }
        if let left = left.integer, let right = right.integer { return Self.holds(comparison, left, right) }
        if let left = left.number, let right = right.number { return Self.holds(comparison, left, right) }
        for case .undefined(let undefined) in [left, right] { throw fault(undefined.message) }
        throw fault("'\(comparison.rawValue)' not supported between instances of '\(left.type)' and '\(right.type)'")
    }

    private static func holds<T: Comparable>(_ comparison: Comparison, _ left: T, _ right: T) -> Bool {
        switch comparison {
        case .less: left < right
        case .lessOrEqual: left <= right
        case .greater: left > right
        default: left >= right
        }
    }

    /// Python's `in`.
    func contains(_ container: Value, _ value: Value) throws(JinjaError) -> Bool {
        switch container {
        case .string(let text):
            if case .undefined = value { throw fault("'in <string>' requires string as left operand, not Undefined") }
            guard let part = value.text else {
                throw fault("'in <string>' requires string as left operand, not \(value.type)")
            }
            return try !occurrences(of: part, in: text, limit: 1).isEmpty
        case .dictionary(let dictionary): return dictionary[try key(value)] != nil
        case .iterator(let iterator):
            while let element = iterator.next() { if try equal(element, value) { return true } }
            return false
        case .undefined, .list, .tuple, .view, .range:
            for element in try elements(of: container) where try equal(element, value) { return true }
            return false
        default: throw fault("argument of type '\(container.type)' is not iterable")
        }
    }

    /// The elements in order, equal ones as they came; `keys` are what is compared.
    func sorted(_ elements: [Value], by keys: [Value], reverse: Bool) throws(JinjaError) -> [Value] {
        var order = Array(elements.indices)
        // Python keeps equal elements in place in a reverse sort too.
        var width = 1
        while width < order.count {
            var merged: [Int] = []
            merged.reserveCapacity(order.count)
            var start = 0
            while start < order.count {
                let (middle, end) = (min(start + width, order.count), min(start + 2 * width, order.count))
                var (left, right) = (start, middle)
                while left < middle, right < end {
                    let isBefore =
                        try reverse
                        ? ordered(.less, keys[order[left]], keys[order[right]])
                        : ordered(.less, keys[order[right]], keys[order[left]])
                    if isBefore {
                        merged.append(order[right])
                        right += 1
                    } else {
                        merged.append(order[left])
                        left += 1
                    }
                }
                merged += order[left..<middle]
                merged += order[right..<end]
                start = end
            }
            order = merged
            width *= 2
        }
        return order.map { elements[$0] }
    }

    /// Where `part` starts in `text`, in bytes, without overlaps.
    func occurrences(of part: String, in text: String, limit: Int = Int.max) throws(JinjaError) -> [Int] {
        try charge(bytes: text.utf8.count)
        let places = Self.occurrences(of: Array(part.utf8), in: Array(text.utf8), limit: min(limit, limits.steps + 1))
        try charge(places.count)
        return places
    }

    /// Knuth, Morris and Pratt's search: no template makes it slow.
    static func occurrences(of part: [UInt8], in text: [UInt8], limit: Int) -> [Int] {
        guard !part.isEmpty else { return limit > 0 ? [0] : [] }
        guard part.count <= text.count, limit > 0 else { return [] }
        var failures = [0]
        failures.reserveCapacity(part.count)
        var matched = 0
        for index in part.indices.dropFirst() {
            while matched > 0, part[index] != part[matched] { matched = failures[matched - 1] }
            if part[index] == part[matched] { matched += 1 }
            failures.append(matched)
        }
        var result: [Int] = []
        matched = 0
        for (index, byte) in text.enumerated() {
            while matched > 0, byte != part[matched] { matched = failures[matched - 1] }
            if byte == part[matched] { matched += 1 }
            guard matched == part.count else { continue }
            result.append(index + 1 - part.count)
            matched = 0
            if result.count == limit { break }
        }
        return result
    }
}
