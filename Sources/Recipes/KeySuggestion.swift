extension RecipeSection {
    /// The suggestion for a key that is unknown among `valid` ones: a name like it there, or its own in another object.
    ///
    /// One wrong letter is a misspelling. Otherwise a key that other objects have comes first: `train.heads` is not `threads`.
    /// Of several objects, those around this one count, else those of the same part of the recipe.
    func places(of key: String, in object: String, near valid: [String]) -> (nearest: String?, elsewhere: [String]) {
        let nearest = nearestKey(to: key, in: valid)
        if let nearest, editDistance(key.folded, nearest.folded) <= 1 { return (nearest, []) }
        let elsewhere = objects(with: key.folded)
        let around = elsewhere.filter { $0.isEmpty || object.replacing(/\[[0-9]+\]/, with: "[]").hasPrefix($0 + ".") }
        let close = around.isEmpty ? elsewhere.filter { $0.part == object.part } : around
        return elsewhere.isEmpty ? (nearest, []) : (nil, close.isEmpty ? elsewhere : close)
    }

    /// The paths of the objects that have a key of this folded name, outer ones first.
    private func objects(with name: String) -> [String] {
        allObjects.compactMap { object in
            let keys = object.section.keys + object.section.kinds.flatMap(\.keys)
            return keys.contains { $0.name.folded == name } ? object.path : nil
        }
    }

    /// Every object of the recipe under its path, `[]` after arrays, in the order of the keys.
    var allObjects: [(path: String, section: RecipeSection)] {
        var (found, next) = ([(path: "", section: self)], 0)
        while next < found.count {
            let (path, section) = found[next]
            next += 1
            for key in section.keys {
                guard let inner = key.type.section else { continue }
                var name = path.isEmpty ? key.name : path + "." + key.name
                if case .list = key.type { name += "[]" }
                found.append((name, inner))
            }
        }
        return found
    }
}

extension String {
    /// The name without case and separators: `learning_rate` is `learningRate`.
    fileprivate var folded: String { lowercased().filter { $0 != "_" && $0 != "-" } }

    /// The first key of a path.
    fileprivate var part: Substring { prefix { $0 != "." && $0 != "[" } }
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
