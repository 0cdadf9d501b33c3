import JSON
import Text

/// A reader of one object of a recipe by the declarations of its section, which refuses any other key.
struct ObjectReader {
    /// The object's own key path, empty for the whole recipe.
    let path: String
    /// The object's position.
    let position: SourcePosition
    private let members: [JSONNode.Member]
    private var section: RecipeSection

    init(_ node: JSONNode, path: String, _ section: RecipeSection) throws(RecipeError) {
        guard case .object(let members) = node.value else {
            throw .wrongType(node.position, path: path.isEmpty ? "the recipe" : path, found: node.kind, expected: "an object")
        }
        self.path = path
        self.members = members
        self.section = section
        position = node.position
    }

    func keyPath(_ key: String) -> String { path.isEmpty ? key : path + "." + key }

    /// The position of `key`'s value; the object's own where it is absent.
    func position(of key: String) -> SourcePosition { members.first { $0.key == key }?.value.position ?? position }

    func has(_ key: String) -> Bool { members.contains { $0.key == key } }

    /// The refusal of `key`'s value, or of the object itself.
    func impossible(at key: String? = nil, _ reason: String) -> RecipeError {
        .impossible(key.map(position(of:)) ?? position, path: key.map(keyPath) ?? path, reason: reason)
    }

    /// This object with the keys that its section declares for `kind`.
    func of(kind: String) -> ObjectReader {
        var reader = self
        reader.section = section.of(kind: kind)
        return reader
    }

    /// The value of `key`; nil where it is absent or null.
    private func node(_ key: String) -> JSONNode? {
        guard let node = members.first(where: { $0.key == key })?.value else { return nil }
        if case .null = node.value { return nil }
        return node
    }

    /// Refuses the first key that isn't declared.
    func finish() throws(RecipeError) {
        for member in members where section[member.key] == nil {
            let valid = section.keys.map(\.name)
            let place = RecipeSection.recipe.places(of: member.key, in: path, near: valid)
            throw .unknownKey(
                member.position, path: keyPath(member.key), nearest: place.nearest.map(keyPath), elsewhere: place.elsewhere,
                valid: valid)
        }
    }
}

/// Optional values: nil where they are absent.
extension ObjectReader {
    /// The declaration of `key`, which has to be of the section.
    private func declaration(_ key: String) -> RecipeKey {
        guard let declaration = section[key] else { preconditionFailure("'\(keyPath(key))' is read but not declared") }
        return declaration
    }

    func object(_ key: String) throws(RecipeError) -> ObjectReader? {
        guard case .object(let section) = declaration(key).type else { misread(key) }
        guard let node = node(key) else { return nil }
        return try ObjectReader(node, path: keyPath(key), section)
    }

    /// The object `key`, or one without members.
    func section(_ key: String) throws(RecipeError) -> ObjectReader {
        guard case .object(let section) = declaration(key).type else { misread(key) }
        if let object = try object(key) { return object }
        return try ObjectReader(JSONNode(value: .object([]), position: position), path: keyPath(key), section)
    }

    /// The object `key`, or the path in its place, with a reader of an object without members; nil where it is absent.
    func pathOrObject(_ key: String) throws(RecipeError) -> (path: String?, object: ObjectReader)? {
        guard case .pathOrObject(let section) = declaration(key).type else { misread(key) }
        guard let node = node(key) else { return nil }
        switch node.value {
        case .string(let path):
            let object = JSONNode(value: .object([]), position: node.position)
            return (path, try ObjectReader(object, path: keyPath(key), section))
        case .object: return (nil, try ObjectReader(node, path: keyPath(key), section))
        default: throw wrong(node, keyPath(key), "a path, or an object")
        }
    }

    func objects(_ key: String) throws(RecipeError) -> [ObjectReader]? {
        guard let section = declaration(key).type.section else { misread(key) }
        return try elements(key, "an array of objects")?.map { (element) throws(RecipeError) in
            try ObjectReader(element.node, path: element.path, section)
        }
    }

    /// The values that `key`'s objects describe, at least one and none twice; nil where it is absent.
    func distinct<Value: Equatable>(
        _ key: String, _ read: (ObjectReader) throws(RecipeError) -> Value
    ) throws(RecipeError) -> [Value]? {
        guard let sections = try objects(key) else { return nil }
        guard !sections.isEmpty else { throw impossible(at: key, "is empty") }
        var values: [Value] = []
        for section in sections {
            let value = try read(section)
            guard !values.contains(value) else {
                throw section.impossible("'\(value)' stands there twice")
            }
            values.append(value)
        }
        return values
    }

    /// Texts: the path of each, or an object with more about it.
    func textSources(_ key: String) throws(RecipeError) -> [TextSource]? {
        guard case .list(.pathOrObject(let section)) = declaration(key).type else { misread(key) }
        return try elements(key, "an array of paths, or of objects with a path")?.map { (element) throws(RecipeError) in
            switch element.node.value {
            case .string(let path): return TextSource(path: path)
            case .object: return try TextSource(ObjectReader(element.node, path: element.path, section))
            default: throw wrong(element.node, element.path, "a path, or an object with a path")
            }
        }
    }

    func string(_ key: String) throws(RecipeError) -> String? {
        try node(key).map { (node) throws(RecipeError) in try string(node, keyPath(key), declaration(key).type) }
    }

    /// A setting that is one of some strings, a whole number, or either, as text.
    func setting(_ key: String) throws(RecipeError) -> String? {
        switch declaration(key).type {
        case .choice, .choices: return try string(key)
        case .integer: return try int(key).map(String.init)
        case .integerOrText(let example):
            guard let node = node(key) else { return nil }
            switch node.value {
            case .string(let text), .number(let text): return text
            default: throw wrong(node, keyPath(key), "an integer, or a text such as \"\(example)\"")
            }
        default: misread(key)
        }
    }

    func strings(_ key: String) throws(RecipeError) -> [String]? {
        guard case .list(let type) = declaration(key).type else { misread(key) }
        return try elements(key, "an array of strings")?.map { (element) throws(RecipeError) in
            try string(element.node, element.path, type)
        }
    }

    func bool(_ key: String) throws(RecipeError) -> Bool? {
        guard case .boolean = declaration(key).type else { misread(key) }
        guard let node = node(key) else { return nil }
        guard case .bool(let value) = node.value else { throw wrong(node, keyPath(key), "true or false") }
        return value
    }

    func int(_ key: String) throws(RecipeError) -> Int? {
        guard case .integer(let range) = declaration(key).type else { misread(key) }
        return try node(key).map { (node) throws(RecipeError) in try int(node, keyPath(key), range) }
    }

    func integers(_ key: String) throws(RecipeError) -> [Int]? {
        guard case .list(.integer(let range)) = declaration(key).type else { misread(key) }
        return try elements(key, "an array of numbers")?.map { (element) throws(RecipeError) in
            try int(element.node, element.path, range)
        }
    }

    func double(_ key: String) throws(RecipeError) -> Double? {
        guard case .number(let range) = declaration(key).type else { misread(key) }
        return try node(key).map { (node) throws(RecipeError) in try double(node, keyPath(key), range) }
    }

    func doubles(_ key: String) throws(RecipeError) -> [Double]? {
        guard case .list(.number(let range)) = declaration(key).type else { misread(key) }
        return try elements(key, "an array of numbers")?.map { (element) throws(RecipeError) in
            try double(element.node, element.path, range)
        }
    }

    /// One of a string-valued enumeration's cases.
    func choice<Choice: RawRepresentable>(_ key: String, _ type: Choice.Type) throws(RecipeError) -> Choice?
    where Choice.RawValue == String {
        guard let name = try string(key) else { return nil }
        guard let choice = Choice(rawValue: name) else { misread(key) }
        return choice
    }

    /// One integer for all layers, or an array with one a layer.
    func intOrList(_ key: String) throws(RecipeError) -> [Int]? {
        guard case .perLayer(let range) = declaration(key).type else { misread(key) }
        guard let node = node(key) else { return nil }
        switch node.value {
        case .number: return [try int(node, keyPath(key), range)]
        case .array:
            return try elements(key, "")?.map { (element) throws(RecipeError) in try int(element.node, element.path, range) }
        default: throw wrong(node, keyPath(key), "an integer, or an array with one a layer")
        }
    }

    func require<Value>(_ key: String, _ value: Value?) throws(RecipeError) -> Value {
        guard let value else { throw .missing(position, path: keyPath(key)) }
        return value
    }

    /// The elements of an array with their paths.
    private func elements(_ key: String, _ expected: String) throws(RecipeError) -> [(node: JSONNode, path: String)]? {
        guard let node = node(key) else { return nil }
        guard case .array(let elements) = node.value else { throw wrong(node, keyPath(key), expected) }
        return elements.enumerated().map { ($0.element, "\(keyPath(key))[\($0.offset)]") }
    }
}

/// Required values: the declared default where they are absent, a refusal without one.
extension ObjectReader {
    func value(_ key: String) throws(RecipeError) -> Int { try settled(key, try int(key), \.int) }
    func value(_ key: String) throws(RecipeError) -> Double { try settled(key, try double(key), \.double) }
    func value(_ key: String) throws(RecipeError) -> Bool { try settled(key, try bool(key), \.bool) }
    func value(_ key: String) throws(RecipeError) -> String { try settled(key, try string(key), \.string) }

    func value(_ key: String) throws(RecipeError) -> [String] {
        try settled(key, try strings(key)) { $0.array?.compactMap(\.string) }
    }

    func value<Choice: RawRepresentable>(_ key: String) throws(RecipeError) -> Choice where Choice.RawValue == String {
        try settled(key, try choice(key, Choice.self)) { $0.string.flatMap(Choice.init) }
    }

    private func settled<Value>(_ key: String, _ found: Value?, _ read: (JSONValue) -> Value?) throws(RecipeError) -> Value {
        if let found { return found }
        guard case .fixed(let json) = declaration(key).absence else { throw .missing(position, path: keyPath(key)) }
        guard let value = read(json) else { misread(key) }
        return value
    }
}

extension ObjectReader {
    private func string(_ node: JSONNode, _ path: String, _ type: RecipeType) throws(RecipeError) -> String {
        var (names, example) = ([String]?.none, String?.none)
        switch type {
        case .text, .path: break
        case .choice(let all): names = all
        case .choices(let all, let several): (names, example) = (all, several)
        default: preconditionFailure("'\(path)' is read as a string but declared as another type")
        }
        guard case .string(let value) = node.value,
            names?.contains(value) ?? true || example != nil && value.contains("+")
        else {
            let more = example.map { ", or such as \"\($0)\"" } ?? ""
            throw wrong(
                node, path, names.map { "one of " + $0.map { "\"\($0)\"" }.joined(separator: ", ") + more } ?? "a string")
        }
        return value
    }

    private func int(_ node: JSONNode, _ path: String, _ range: ClosedRange<Int>) throws(RecipeError) -> Int {
        guard case .number(let text) = node.value, let value = Int(text) ?? Double(text).flatMap({ Int(exactly: $0) }) else {
            throw wrong(node, path, "an integer")
        }
        guard range.contains(value) else {
            let reason =
                value < range.lowerBound
                ? "\(value), expected at least \(range.lowerBound)" : "\(value) is above \(range.upperBound)"
            throw .impossible(node.position, path: path, reason: reason)
        }
        return value
    }

    private func double(_ node: JSONNode, _ path: String, _ range: ClosedRange<Double>) throws(RecipeError) -> Double {
        guard case .number(let text) = node.value, let value = Double(text) else { throw wrong(node, path, "a number") }
        guard range.contains(value) else {
            throw .impossible(node.position, path: path, reason: "\(text) is outside \(range.lowerBound) … \(range.upperBound)")
        }
        return value
    }

    private func wrong(_ node: JSONNode, _ path: String, _ expected: String) -> RecipeError {
        .wrongType(node.position, path: path, found: node.kind, expected: expected)
    }

    private func misread(_ key: String) -> Never {
        preconditionFailure("'\(keyPath(key))' is read as another type than it is declared as")
    }
}
