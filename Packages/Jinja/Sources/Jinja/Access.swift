/// Attributes, elements, slices and walks.
extension Renderer {
    /// `object.name`: a method first, then an element.
    func attribute(_ name: String, of object: Value) throws(JinjaError) -> Value {
        try charge(bytes: name.utf8.count)
        if let value = try ownAttribute(name, of: object) { return value }
        if case .dictionary(let dictionary) = object, let value = dictionary[name] { return value }
        return .undefined(.attribute(type: object.objectType, name: name))
    }

    /// Counts the work of looking up a key: all of a text's characters.
    func charge(key: Value) throws(JinjaError) {
        if case .string(let text) = key { try charge(scan: text) }
    }

    /// `object[key]`: an element first, then a method.
    func item(_ key: Value, of object: Value) throws(JinjaError) -> Value {
        if let value = try element(key, of: object) { return value }
        guard case .string(let name) = key else {
            return .undefined(.element(type: object.objectType, name: try representation(key)))
        }
        return try ownAttribute(name, of: object) ?? .undefined(.attribute(type: object.objectType, name: name))
    }

    /// The attribute that the object has by its type; nil if none.
    private func ownAttribute(_ name: String, of object: Value) throws(JinjaError) -> Value? {
        let methods: Set<String>
        switch object {
        case .undefined(let undefined): throw fault(undefined.message)
        case .namespace(let number): return namespaces[number].first { $0.name.isSame(as: name) }?.value
        case .loop(let loop): return attribute(name, of: loop)
        case .macro(let number):
            let macro = macros[number].macro
            return name == "name" ? .string(macro.name) : nil
        case .string: methods = Self.stringMethods
        case .list, .tuple, .range: methods = Self.listMethods
        case .dictionary: methods = Self.dictionaryMethods
        case .double: methods = ["is_integer"]
        default: methods = []
        }
        if methods.contains(name) { return .method(BoundMethod(object, name)) }
        if Self.mutating(object).contains(name) || name.hasPrefix("__") && name.hasSuffix("__") {
            return .undefined(.hint("access to attribute '\(name)' of '\(object.type)' object is unsafe."))
        }
        return nil
    }

    private static func mutating(_ object: Value) -> Set<String> {
        switch object {
        case .list: ["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"]
        case .dictionary: ["clear", "pop", "popitem", "setdefault", "update"]
        default: []
        }
    }

    private static let listMethods: Set<String> = ["index", "count"]
    private static let dictionaryMethods: Set<String> = ["get", "items", "keys", "values", "copy"]

    private func attribute(_ name: String, of loop: LoopState) -> Value? {
        let (index, count) = (loop.index, loop.items.count)
        switch name {
        case "index": return .int(index + 1)
        case "index0": return .int(index)
        case "revindex": return .int(count - index)
        case "revindex0": return .int(count - index - 1)
        case "first": return .bool(index == 0)
        case "last": return .bool(index == count - 1)
        case "length": return .int(count)
        case "depth": return .int(loop.level + 1)
        case "depth0": return .int(loop.level)
        case "previtem":
            return index > 0 ? loop.items.elements[index - 1] : .undefined(.hint("there is no previous item"))
        case "nextitem":
            return index + 1 < count ? loop.items.elements[index + 1] : .undefined(.hint("there is no next item"))
        case "cycle", "changed": return .method(BoundMethod(.loop(loop), name))
        default: return nil
        }
    }

    /// An element of a sequence or a dictionary; nil where there is none.
    private func element(_ key: Value, of object: Value) throws(JinjaError) -> Value? {
        switch object {
        case .undefined(let undefined): throw fault(undefined.message)
        case .dictionary(let dictionary):
            try charge(key: key)
            return DictionaryKey(key).flatMap { dictionary[$0] }
        case .namespace(let number): return namespaces[number].first { key.text?.isSame(as: $0.name) == true }?.value
        default: break
        }
        guard var index = key.integer else { return nil }
        switch object {
        case .list(let items), .tuple(let items):
            if index < 0 { index += items.count }
            return items.elements.indices.contains(index) ? items.elements[index] : nil
        case .range(let range):
            if index < 0 { index += range.count }
            return (0..<range.count).contains(index) ? .int(range.start &+ index &* range.step) : nil
        case .string(let text):
            try charge(bytes: text.utf8.count)
            let scalars = text.unicodeScalars
            if index < 0 { index += scalars.count }
            guard index >= 0, index < text.utf8.count,
                let place = scalars.index(scalars.startIndex, offsetBy: index, limitedBy: scalars.endIndex),
                place < scalars.endIndex
            else { return nil }
            return .string(String(scalars[place]))
        default: return nil
        }
    }

    /// `value[start:stop:step]`.
    func slice(_ value: Value, _ start: Value?, _ stop: Value?, _ step: Value?) throws(JinjaError) -> Value {
        let bounds = (try bound(start), try bound(stop), try bound(step))
        guard bounds.2 != 0 else { throw fault("slice step cannot be zero") }
        func indices(_ count: Int) -> [Int] { Self.indices(count, bounds.0, bounds.1, bounds.2 ?? 1) }
        switch value {
        case .undefined(let undefined): throw fault(undefined.message)
        case .list(let items): return try list(indices(items.count).map { items.elements[$0] })
        case .tuple(let items): return .tuple(try self.items(indices(items.count).map { items.elements[$0] }))
        case .range(let range):
            let elements = range.elements
            return try list(indices(elements.count).map { elements[$0] })
        case .string(let text):
            try charge(bytes: 2 * text.utf8.count)
            try charge(scan: text)
            let scalars = Array(text.unicodeScalars)
            return .string(String(scalars: indices(scalars.count).map { scalars[$0] }))
        default: throw fault("'\(value.type)' object cannot be sliced")
        }
    }

    private func bound(_ value: Value?) throws(JinjaError) -> Int? {
        guard let value, !value.isNone else { return nil }
        if case .undefined(let undefined) = value { throw fault(undefined.message) }
        guard let index = value.integer else { throw fault("slice indices must be integers or None") }
        return index
    }

    /// The indices that a slice of `count` elements takes.
    private static func indices(_ count: Int, _ start: Int?, _ stop: Int?, _ step: Int) -> [Int] {
        // A longer step than the list reaches nothing more, and cannot overflow.
        let step = max(-count - 1, min(step, count + 1))
        func clamped(_ bound: Int, _ low: Int, _ high: Int) -> Int {
            let bound = bound < 0 ? bound + count : bound
            return max(low, min(bound, high))
        }
        if step > 0 {
            return Array(stride(from: clamped(start ?? 0, 0, count), to: clamped(stop ?? count, 0, count), by: step))
        }
        let from = start.map { clamped($0, -1, count - 1) } ?? count - 1
        let to = stop.map { clamped($0, -1, count - 1) } ?? -1
        return Array(stride(from: from, to: to, by: step))
    }

    /// The elements of a walk over `value`.
    func elements(of value: Value) throws(JinjaError) -> [Value] {
        let elements: [Value]
        switch value {
        case .undefined:
            try refuseUndefined(value)
            return []
        case .string(let text):
            try charge(bytes: text.utf8.count)
            try charge(text.scalarCount)
            return text.unicodeScalars.map { .string(String($0)) }
        case .list(let items), .tuple(let items): elements = items.elements
        case .dictionary(let dictionary): elements = dictionary.keys
        case .view(let view): elements = view.items.elements
        case .range(let range): elements = range.elements
        case .iterator(let iterator): elements = iterator.rest()
        default: throw fault("'\(value.type)' object is not iterable")
        }
        try charge(elements.count)
        return elements
    }
}
