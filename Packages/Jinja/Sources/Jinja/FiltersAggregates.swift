/// Filters that compare or add up.
extension Renderer {
    @inline(never)
    func aggregate(_ name: FilterName, _ value: Value, _ arguments: CallArguments) throws(JinjaError) -> Value {
        switch name {
        case .sort:
            try arguments.check(["reverse", "case_sensitive", "attribute"], of: "sort", self)
            let elements = try elements(of: value)
            let keys = try sortKeys(elements, arguments.value(2, "attribute"), caseSensitive: arguments.flag(1, "case_sensitive"))
            return try list(try sorted(elements, by: keys, reverse: arguments.flag(0, "reverse")))
        case .unique: return try unique(value, arguments)
        case .dictsort: return try dictionarySort(value, arguments)
        case .groupby: return try groups(value, arguments)
        case .sum:
            try arguments.check(["attribute", "start"], of: "sum", self)
            var sum = arguments.value(1, "start") ?? .int(0)
            for element in try elements(of: value) {
                sum = try arithmetic(.add, sum, try attribute(arguments.value(0, "attribute"), of: element))
            }
            return sum
        default: return try extreme(value, arguments, isMaximum: name == .max)
        }
    }

    /// Strings in lower case, where case does not count.
    private func folded(_ value: Value, _ caseSensitive: Bool) throws(JinjaError) -> Value {
        guard !caseSensitive, case .string(let text) = value else { return value }
        try charge(bytes: text.utf8.count)
        try charge(characters: text)
        return .string(lowered(text))
    }

    /// The keys to compare by: for each element a list of its attributes `a,b`, or of itself.
    private func sortKeys(_ elements: [Value], _ path: Value?, caseSensitive: Bool) throws(JinjaError) -> [Value] {
        var paths = [path]
        if case .string(let text)? = path { paths = text.split(separator: ",").map { .string(String($0)) } }
        var keys: [Value] = []
        for element in elements {
            var parts: [Value] = []
            for path in paths { parts.append(try folded(try attribute(path, of: element), caseSensitive)) }
            keys.append(try list(parts))
        }
        return keys
    }

    private func unique(_ value: Value, _ arguments: CallArguments) throws(JinjaError) -> Value {
        try arguments.check(["case_sensitive", "attribute"], of: "unique", self)
        var seen: Set<DictionaryKey> = []
        var result: [Value] = []
        for element in try elements(of: value) {
            let key = try attribute(arguments.value(1, "attribute"), of: element)
            if seen.insert(try self.key(try folded(key, arguments.flag(0, "case_sensitive")))).inserted { result.append(element) }
        }
        return .iterator(ValueIterator(try items(result)))
    }

    private func dictionarySort(_ value: Value, _ arguments: CallArguments) throws(JinjaError) -> Value {
        try arguments.check(["case_sensitive", "by", "reverse"], of: "dictsort", self)
        if case .undefined(let undefined) = value { throw fault(undefined.message) }
        guard case .dictionary(let dictionary) = value else { throw fault("dictsort takes a mapping, not \(value.type)") }
        let by = arguments.value(1, "by")?.text ?? "key"
        guard by == "key" || by == "value" else { throw fault("You can only sort by either \"key\" or \"value\"") }
        var keys: [Value] = []
        for key in by == "key" ? dictionary.keys : dictionary.values {
            keys.append(try folded(key, arguments.flag(0, "case_sensitive")))
        }
        return try list(try sorted(dictionary.items, by: keys, reverse: arguments.flag(2, "reverse")))
    }

    /// Pairs of a value and the elements that have it.
    private func groups(_ value: Value, _ arguments: CallArguments) throws(JinjaError) -> Value {
        try arguments.check(["attribute", "default", "case_sensitive"], of: "groupby", self)
        let path = try arguments.required(0, "attribute", of: "groupby", self)
        let standard = arguments.value(1, "default")
        let elements = try elements(of: value)
        var keys: [Value] = []
        for element in elements {
            keys.append(try folded(try attribute(path, of: element, default: standard), arguments.flag(2, "case_sensitive")))
        }
        let order = try sorted(elements.indices.map { .int($0) }, by: keys, reverse: false).compactMap(\.integer)
        var result: [Value] = []
        var start = 0
        while start < order.count {
            var end = start + 1
            while end < order.count, try equal(keys[order[start]], keys[order[end]]) { end += 1 }
            let group = order[start..<end].map { elements[$0] }
            let key = try attribute(path, of: group[0], default: standard)
            result.append(.tuple(try items([key, try list(group)])))
            start = end
        }
        return try list(result)
    }

    private func extreme(_ value: Value, _ arguments: CallArguments, isMaximum: Bool) throws(JinjaError) -> Value {
        try arguments.check(["case_sensitive", "attribute"], of: isMaximum ? "max" : "min", self)
        var best: (element: Value, key: Value)?
        for element in try elements(of: value) {
            let key = try attribute(arguments.value(1, "attribute"), of: element)
            let folded = try folded(key, arguments.flag(0, "case_sensitive"))
            guard let current = best else {
                best = (element, folded)
                continue
            }
            if try ordered(isMaximum ? .greater : .less, folded, current.key) { best = (element, folded) }
        }
        return best?.element ?? .undefined(.hint("No aggregated item, sequence was empty."))
    }
}
