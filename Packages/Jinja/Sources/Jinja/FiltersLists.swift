/// Filters of lists.
extension Renderer {
    @inline(never)
    func sequence(_ name: FilterName, _ value: Value, _ arguments: CallArguments) throws(JinjaError) -> Value {
        switch name {
        case .first:
            if case .iterator(let iterator) = value {
                return iterator.next() ?? .undefined(.hint("No first item, sequence was empty."))
            }
            return try elements(of: value).first ?? .undefined(.hint("No first item, sequence was empty."))
        case .last:
            if case .iterator(let iterator) = value { throw fault("'\(iterator.type)' object is not reversible") }
            return try elements(of: value).last ?? .undefined(.hint("No last item, sequence was empty."))
        case .list: return try list(try elements(of: value))
        case .reverse:
            if case .string(let text) = value {
                try charge(bytes: text.utf8.count)
                try charge(scan: text)
                return .string(String(scalars: text.unicodeScalars.reversed()))
            }
            let reversed = try items(Array(try elements(of: value).reversed()))
            return .iterator(ValueIterator(reversed, type: "\(value.type)_reverseiterator"))
        case .join: return .string(try joined(value, arguments))
        case .batch: return try batches(value, arguments)
        default: return try columns(value, arguments)
        }
    }

    private func joined(_ value: Value, _ arguments: CallArguments) throws(JinjaError) -> String {
        try arguments.check(["d", "attribute"], of: "join", self)
        let separator = try arguments.value(0, "d").map { value throws(JinjaError) in try string(value) } ?? ""
        var texts: [String] = []
        for element in try elements(of: value) {
            texts.append(try string(try attribute(arguments.value(1, "attribute"), of: element)))
        }
        return try join(texts, by: separator)
    }

    private func batches(_ value: Value, _ arguments: CallArguments) throws(JinjaError) -> Value {
        try arguments.check(["linecount", "fill_with"], of: "batch", self)
        let size = try arguments.integer(0, "linecount", self) ?? 0
        var batches: [[Value]] = []
        for element in try elements(of: value) {
            if batches.last.map({ $0.count == size }) ?? true { batches.append([]) }
            batches[batches.count - 1].append(element)
        }
        if let fill = arguments.value(1, "fill_with"), !fill.isNone, let last = batches.last, last.count < size {
            try charge(size - last.count)
            batches[batches.count - 1] += repeatElement(fill, count: size - last.count)
        }
        return try generator(of: batches)
    }

    private func columns(_ value: Value, _ arguments: CallArguments) throws(JinjaError) -> Value {
        try arguments.check(["slices", "fill_with"], of: "slice", self)
        let elements = try elements(of: value)
        let count = try arguments.integer(0, "slices", self) ?? 0
        guard count != 0 else { throw fault("integer division or modulo by zero") }
        try charge(max(0, count))
        var columns: [[Value]] = []
        var start = 0
        for column in 0..<max(0, count) {
            let isLonger = column < elements.count % count
            let end = start + elements.count / count + (isLonger ? 1 : 0)
            var part = Array(elements[start..<end])
            if let fill = arguments.value(1, "fill_with"), !fill.isNone, !isLonger { part.append(fill) }
            columns.append(part)
            start = end
        }
        return try generator(of: columns)
    }

    private func generator(of lists: [[Value]]) throws(JinjaError) -> Value {
        var values: [Value] = []
        for elements in lists { values.append(try list(elements)) }
        return .iterator(ValueIterator(try items(values)))
    }

    // MARK: Each element

    @inline(never)
    func iterator(_ name: FilterName, _ value: Value, _ arguments: CallArguments) throws(JinjaError) -> Value {
        let elements = value.isTrue ? try elements(of: value) : []
        let result = name == .map ? try mapped(elements, arguments) : try selected(name, elements, arguments)
        return .iterator(ValueIterator(try items(result)))
    }

    private func mapped(_ elements: [Value], _ arguments: CallArguments) throws(JinjaError) -> [Value] {
        var result: [Value] = []
        if arguments.positional.isEmpty, let path = arguments.value(0, "attribute") {
            for (name, _) in arguments.named where name != "attribute" && name != "default" {
                throw fault("Unexpected keyword argument '\(name)'")
            }
            let standard = arguments.named.first { $0.name == "default" }?.value
            for element in elements { result.append(try attribute(path, of: element, default: standard)) }
            return result
        }
        guard let value = arguments.positional.first else {
            if elements.isEmpty { return [] }
            throw fault("map requires a filter argument")
        }
        guard let text = value.text, let name = FilterName(rawValue: text) else {
            throw fault("No filter named '\(try string(value))'.")
        }
        let rest = CallArguments(positional: Array(arguments.positional.dropFirst()), named: arguments.named)
        for element in elements {
            try enter()
            result.append(try filter(name, element, rest))
            leave()
        }
        return result
    }

    private func selected(
        _ name: FilterName, _ elements: [Value], _ arguments: CallArguments
    ) throws(JinjaError) -> [Value] {
        let byAttribute = name == .selectattr || name == .rejectattr
        let keeps = name == .select || name == .selectattr
        var rest = arguments.positional[...]
        var path: Value?
        if byAttribute {
            guard let first = rest.popFirst() else { throw fault("Missing parameter for attribute name") }
            path = first
        }
        var testName: TestName?
        if let value = rest.popFirst() {
            guard let text = value.text, let found = TestName(rawValue: text) else {
                throw fault("No test named '\(try string(value))'.")
            }
            testName = found
        }
        let operands = CallArguments(positional: Array(rest), named: arguments.named)
        var result: [Value] = []
        for element in elements {
            let value = try attribute(path, of: element)
            let holds = try testName.map { name throws(JinjaError) in try test(name, value, operands) } ?? value.isTrue
            if holds == keeps { result.append(element) }
        }
        return result
    }

    /// What `path` (`"a.b.0"`, or a number) leads to; the element itself where there is none.
    func attribute(_ path: Value?, of element: Value, default standard: Value? = nil) throws(JinjaError) -> Value {
        guard let path, !path.isNone else { return element }
        var keys = [path]
        if case .string(let text) = path {
            keys = text.split(separator: ".", omittingEmptySubsequences: false).map { part in
                Int(part).map { $0 >= 0 ? .int($0) : .string(String(part)) } ?? .string(String(part))
            }
        }
        try charge(keys.count)
        var value = element
        for key in keys {
            value = try item(key, of: value)
            if value.isUndefined, let standard, !standard.isNone { value = standard }
        }
        return value
    }
}
