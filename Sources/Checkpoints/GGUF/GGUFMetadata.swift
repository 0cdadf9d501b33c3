/// A reader of a file's metadata, with errors that name the key.
struct GGUFMetadata {
    let path: String
    let values: [String: GGUFValue]

    private func wrong(_ key: String, _ expected: String) -> ImportError {
        .wrongValue(path: path, key: key, found: values[key]?.text, expected: expected)
    }

    func has(_ key: String) -> Bool { values[key] != nil }

    func string(_ key: String) throws(ImportError) -> String {
        guard let text = values[key]?.string else { throw wrong(key, "a string") }
        return text
    }

    /// A whole number from 1.
    func positive(_ key: String, default fallback: Int? = nil) throws(ImportError) -> Int {
        if let fallback, !has(key) { return fallback }
        guard let value = values[key]?.int, value >= 1 else { throw wrong(key, "a whole number from 1") }
        return value
    }

    /// The value of each layer, given as one number or as a list.
    func perLayer(_ key: String, layers: Int, default fallback: [Int]? = nil) throws(ImportError) -> [Int] {
        if let fallback, !has(key) { return fallback }
        if let value = values[key]?.int, value >= 1 { return [Int](repeating: value, count: layers) }
        guard let found = values[key]?.array?.map(\.int), found.count == layers, found.allSatisfy({ $0 ?? 0 >= 1 }) else {
            throw wrong(key, "a whole number from 1, or \(layers) of them")
        }
        return found.compactMap { $0 }
    }

    func number(_ key: String, default fallback: Double? = nil) throws(ImportError) -> Double {
        if let fallback, !has(key) { return fallback }
        guard let value = values[key]?.double else { throw wrong(key, "a number") }
        return value
    }

    func flag(_ key: String, default fallback: Bool) throws(ImportError) -> Bool {
        if !has(key) { return fallback }
        guard let value = values[key]?.bool else { throw wrong(key, "a truth value") }
        return value
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
