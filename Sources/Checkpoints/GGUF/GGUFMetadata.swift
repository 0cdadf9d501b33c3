/// A reader of a file's metadata, with errors that name the key.
struct GGUFMetadata {
    let path: String
    let values: [String: GGUFValue]

    private func wrong(_ key: String, _ expected: String) -> ImportError {
        .wrongValue(path: path, key: key, found: values[key]?.text, expected: expected)
    }

    func has(_ key: String) -> Bool { values[key] != nil }

    /// The value of `key`, or `fallback` where it is absent.
    private func read<Value>(
        _ key: String, _ expected: String, default fallback: Value? = nil, _ value: (GGUFValue) -> Value?
    ) throws(ImportError) -> Value {
        if let fallback, !has(key) { return fallback }
        guard let value = values[key].flatMap(value) else { throw wrong(key, expected) }
        return value
    }

    func string(_ key: String) throws(ImportError) -> String { try read(key, "a string") { $0.string } }

    /// A whole number from 1.
    func positive(_ key: String, default fallback: Int? = nil) throws(ImportError) -> Int {
        try read(key, "a whole number from 1", default: fallback) { value in value.int.flatMap { $0 >= 1 ? $0 : nil } }
    }

    /// The value of each layer, given as one number or as a list.
    func perLayer(_ key: String, layers: Int, default fallback: [Int]? = nil) throws(ImportError) -> [Int] {
        try read(key, "a whole number from 1, or \(layers) of them", default: fallback) { value in
            let found = value.int.map { [Int](repeating: $0, count: layers) } ?? value.array?.map { $0.int ?? 0 } ?? []
            return found.count == layers && found.allSatisfy { $0 >= 1 } ? found : nil
        }
    }

    func number(_ key: String, default fallback: Double? = nil) throws(ImportError) -> Double {
        try read(key, "a number", default: fallback) { $0.double }
    }

    func flag(_ key: String, default fallback: Bool) throws(ImportError) -> Bool {
        try read(key, "a truth value", default: fallback) { $0.bool }
    }

    /// A token id below `limit`; nil for an id outside.
    func tokenID(_ key: String, limit: Int) throws(ImportError) -> Int32? {
        guard let value = values[key] else { return nil }
        guard let id = value.int else { throw wrong(key, "a token id") }
        return (0..<limit).contains(id) ? Int32(id) : nil
    }

    /// An array; nil if the key is absent.
    func list<Element>(
        _ key: String, of elements: String, _ element: (GGUFValue) -> Element?
    ) throws(ImportError) -> [Element]? {
        guard let value = values[key] else { return nil }
        guard let array = value.array else { throw wrong(key, "an array of \(elements)") }
        var found: [Element] = []
        found.reserveCapacity(array.count)
        for value in array {
            guard let value = element(value) else { throw wrong(key, "an array of \(elements)") }
            found.append(value)
        }
        return found
    }
}
