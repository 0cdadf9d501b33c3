/// The path of a value inside a document: `lab.children[1].method`.
struct JSONPath {
    enum Step: Equatable {
        case key(String)
        case index(Int)
    }

    let steps: [Step]

    /// Reads keys joined by dots, each with any number of indices from 0 in brackets; nil for anything else.
    init?(_ text: some StringProtocol) {
        var steps: [Step] = []
        for part in text.split(separator: ".", omittingEmptySubsequences: false) {
            let pieces = part.split(separator: "[", omittingEmptySubsequences: false)
            guard let key = pieces.first, !key.isEmpty, !key.contains("]") else { return nil }
            steps.append(.key(String(key)))
            for piece in pieces.dropFirst() {
                guard piece.last == "]", let index = Int(piece.dropLast()), index >= 0 else { return nil }
                steps.append(.index(index))
            }
        }
        self.steps = steps
    }

    /// The path's text up to, and with, step `last`.
    func text(through last: Int) -> String {
        steps[...last].reduce("") { text, step in
            switch step {
            case .key(let key): text.isEmpty ? key : text + "." + key
            case .index(let index): text + "[\(index)]"
            }
        }
    }
}

extension JSONNode {
    /// The position of the value at `path` in this document, or of the innermost value around it where it is absent.
    func position(of path: String) -> SourcePosition {
        var current = self
        for step in JSONPath(path)?.steps ?? [] {
            let next =
                switch step {
                case .key(let key): current[key]
                case .index(let index): current[index]
                }
            guard let next else { break }
            current = next
        }
        return current.position
    }

    /// The refusal of the value at `path` in this document.
    func impossible(at path: String, _ reason: String) -> RecipeError {
        .impossible(position(of: path), path: path, reason: reason)
    }

    /// This document with the value at `path` replaced by `node`.
    ///
    /// Objects are made where they are missing, array elements are not: an index outside its array is refused.
    func setting(_ path: JSONPath, to node: JSONNode) throws(RecipeError) -> JSONNode {
        try setting(path, from: 0, to: node)
    }

    private func setting(_ path: JSONPath, from start: Int, to node: JSONNode) throws(RecipeError) -> JSONNode {
        guard start < path.steps.count else { return node }
        switch path.steps[start] {
        case .key(let key):
            guard case .object(var members) = value else {
                return try JSONNode(value: .object([]), position: node.position).setting(path, from: start, to: node)
            }
            if let index = members.firstIndex(where: { $0.key == key }) {
                members[index].value = try members[index].value.setting(path, from: start + 1, to: node)
            } else {
                let made = JSONNode(value: .null, position: node.position)
                let value = try made.setting(path, from: start + 1, to: node)
                members.append(Member(key: key, position: node.position, value: value))
            }
            return JSONNode(value: .object(members), position: position)
        case .index(let index):
            guard case .array(var elements) = value else {
                throw .wrongType(node.position, path: path.text(through: start - 1), found: kind, expected: "an array")
            }
            guard index < elements.count else {
                let range = elements.isEmpty ? "no elements" : "\(elements.count) elements, 0 to \(elements.count - 1)"
                throw .impossible(node.position, path: path.text(through: start), reason: "the array has \(range)")
            }
            elements[index] = try elements[index].setting(path, from: start + 1, to: node)
            return JSONNode(value: .array(elements), position: position)
        }
    }
}
