/// Methods of lists, dictionaries, numbers and loops; strings' methods are in another file.
extension Renderer {
    @inline(never)
    func call(_ method: BoundMethod, _ arguments: CallArguments) throws(JinjaError) -> Value {
        switch method.receiver {
        case .string(let text): return try call(method.name, of: text, arguments)
        case .dictionary(let dictionary): return try call(method.name, of: dictionary, arguments)
        case .list, .tuple, .range: return try callList(method, arguments)
        case .loop(let loop): return try call(method.name, of: loop, arguments)
        case .double(let value): return .bool(value == value.rounded())
        default: throw fault("'\(method.receiver.type)' has no method '\(method.name)'")
        }
    }

    private func call(_ name: String, of dictionary: OrderedDictionary, _ arguments: CallArguments) throws(JinjaError) -> Value {
        if name == "get" {
            guard arguments.named.isEmpty else { throw fault("dict.get() takes no keyword arguments") }
            try arguments.check(["key", "default"], of: "get", self)
            let key = try key(try arguments.required(0, "key", of: "get", self))
            return dictionary[key] ?? arguments.value(1, "default") ?? .none
        }
        try arguments.check([], of: name, self)
        switch name {
        case "items": return .view(DictionaryView(type: "dict_items", items: try items(dictionary.items)))
        case "keys": return .view(DictionaryView(type: "dict_keys", items: try items(dictionary.keys)))
        case "values": return .view(DictionaryView(type: "dict_values", items: try items(dictionary.values)))
        default: return .dictionary(dictionary)
        }
    }

    private func callList(_ method: BoundMethod, _ arguments: CallArguments) throws(JinjaError) -> Value {
        let value = try arguments.required(0, "value", of: method.name, self)
        var count = 0
        for (index, element) in try elements(of: method.receiver).enumerated() where try equal(element, value) {
            if method.name == "index" { return .int(index) }
            count += 1
        }
        guard method.name == "count" else { throw fault("\(try representation(value)) is not in list") }
        return .int(count)
    }

    private func call(_ name: String, of loop: LoopState, _ arguments: CallArguments) throws(JinjaError) -> Value {
        if name == "cycle" {
            guard !arguments.positional.isEmpty else { throw fault("no items for cycling given") }
            return arguments.positional[loop.index % arguments.positional.count]
        }
        let seen = Value.tuple(try items(arguments.positional))
        guard let place = loop.memory else {
            try checkTables()
            loop.memory = memories.count
            memories.append(seen)
            return .bool(true)
        }
        let isSame = try equal(memories[place], seen)
        memories[place] = seen
        return .bool(!isSame)
    }
}
