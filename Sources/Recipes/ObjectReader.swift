/// Reads one object of a recipe: every key must be asked for, or it is unknown.
struct ObjectReader {
    /// The object's own key path, empty for the whole recipe.
    let path: String
    /// Where the object stands.
    let position: SourcePosition
    private let members: [JSONNode.Member]
    private var asked: [String] = []

    init(_ node: JSONNode, path: String) throws(RecipeError) {
        guard case .object(let members) = node.value else {
            throw .wrongType(node.position, path: path.isEmpty ? "the recipe" : path, found: node.kind, expected: "an object")
        }
        self.path = path
        self.members = members
        position = node.position
    }

    func keyPath(_ key: String) -> String { path.isEmpty ? key : path + "." + key }

    /// Where `key`'s value stands; the object's own position where it is absent.
    func position(of key: String) -> SourcePosition { members.first { $0.key == key }?.value.position ?? position }

    func has(_ key: String) -> Bool { members.contains { $0.key == key } }

    /// The value of `key`; nil where it is absent or null.
    mutating func node(_ key: String) -> JSONNode? {
        asked.append(key)
        guard let node = members.first(where: { $0.key == key })?.value else { return nil }
        if case .null = node.value { return nil }
        return node
    }

    mutating func object(_ key: String) throws(RecipeError) -> ObjectReader? {
        guard let node = node(key) else { return nil }
        return try ObjectReader(node, path: keyPath(key))
    }

    mutating func string(_ key: String) throws(RecipeError) -> String? {
        guard let node = node(key) else { return nil }
        guard case .string(let value) = node.value else { throw wrong(node, key, "a string") }
        return value
    }

    mutating func bool(_ key: String) throws(RecipeError) -> Bool? {
        guard let node = node(key) else { return nil }
        guard case .bool(let value) = node.value else { throw wrong(node, key, "true or false") }
        return value
    }

    mutating func int(_ key: String, _ range: ClosedRange<Int> = 1...(1 << 40)) throws(RecipeError) -> Int? {
        guard let node = node(key) else { return nil }
        return try int(node, keyPath(key), range)
    }

    mutating func double(_ key: String, _ range: ClosedRange<Double>) throws(RecipeError) -> Double? {
        guard let node = node(key) else { return nil }
        guard case .number(let text) = node.value, let value = Double(text) else { throw wrong(node, key, "a number") }
        guard range.contains(value) else {
            throw .impossible(
                node.position, path: keyPath(key), reason: "\(text) is outside \(range.lowerBound) … \(range.upperBound)")
        }
        return value
    }

    /// One of a string-valued enumeration's cases.
    mutating func choice<Choice: RawRepresentable & CaseIterable>(_ key: String, _ type: Choice.Type) throws(RecipeError)
        -> Choice?
    where Choice.RawValue == String {
        guard let node = node(key) else { return nil }
        let names = Choice.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
        guard case .string(let text) = node.value, let value = Choice(rawValue: text) else {
            throw wrong(node, key, "one of \(names)")
        }
        return value
    }

    mutating func strings(_ key: String) throws(RecipeError) -> [String]? {
        guard let node = node(key) else { return nil }
        guard case .array(let elements) = node.value else { throw wrong(node, key, "an array of strings") }
        var result: [String] = []
        for (index, element) in elements.enumerated() {
            guard case .string(let value) = element.value else {
                throw .wrongType(element.position, path: "\(keyPath(key))[\(index)]", found: element.kind, expected: "a string")
            }
            result.append(value)
        }
        return result
    }

    /// One integer for all layers, or an array with one a layer.
    mutating func intOrList(_ key: String) throws(RecipeError) -> [Int]? {
        guard let node = node(key) else { return nil }
        guard case .array(let elements) = node.value else {
            guard case .number = node.value else { throw wrong(node, key, "an integer, or an array with one a layer") }
            return [try int(node, keyPath(key), 1...(1 << 20))]
        }
        var result: [Int] = []
        for (index, element) in elements.enumerated() {
            result.append(try int(element, "\(keyPath(key))[\(index)]", 1...(1 << 20)))
        }
        return result
    }

    mutating func objects(_ key: String) throws(RecipeError) -> [ObjectReader]? {
        guard let node = node(key) else { return nil }
        guard case .array(let elements) = node.value else { throw wrong(node, key, "an array of objects") }
        var result: [ObjectReader] = []
        for (index, element) in elements.enumerated() {
            result.append(try ObjectReader(element, path: "\(keyPath(key))[\(index)]"))
        }
        return result
    }

    func require<Value>(_ key: String, _ value: Value?) throws(RecipeError) -> Value {
        guard let value else { throw .missing(position, path: keyPath(key)) }
        return value
    }

    /// Refuses the first key that nothing asked for.
    func finish() throws(RecipeError) {
        for member in members where !asked.contains(member.key) {
            throw .unknownKey(
                member.position, path: keyPath(member.key), nearest: nearestKey(to: member.key, in: asked).map(keyPath),
                valid: asked)
        }
    }

    private func int(_ node: JSONNode, _ path: String, _ range: ClosedRange<Int>) throws(RecipeError) -> Int {
        guard case .number(let text) = node.value, let value = Int(text) ?? Double(text).flatMap({ Int(exactly: $0) }) else {
            throw .wrongType(node.position, path: path, found: node.kind, expected: "an integer")
        }
        guard range.contains(value) else {
            let reason =
                value < range.lowerBound
                ? "\(value), expected at least \(range.lowerBound)" : "\(value) is above \(range.upperBound)"
            throw .impossible(node.position, path: path, reason: reason)
        }
        return value
    }

    private func wrong(_ node: JSONNode, _ key: String, _ expected: String) -> RecipeError {
        .wrongType(node.position, path: keyPath(key), found: node.kind, expected: expected)
    }
}

/// The one of `keys` fewest edits away from `key`, where that is close enough to be meant.
func nearestKey(to key: String, in keys: [String]) -> String? {
    let best = keys.map { (key: $0, distance: editDistance(key.lowercased(), $0.lowercased())) }.min { $0.distance < $1.distance }
    guard let best, best.distance <= max(2, key.count / 3) else { return nil }
    return best.key
}

/// Levenshtein's distance.
private func editDistance(_ a: String, _ b: String) -> Int {
    let b = Array(b)
    var row = Array(0...b.count)
    for (i, x) in a.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for (j, y) in b.enumerated() {
            let next = min(row[j + 1] + 1, row[j] + 1, diagonal + (x == y ? 0 : 1))
            diagonal = row[j + 1]
            row[j + 1] = next
        }
    }
    return row[b.count]
}
