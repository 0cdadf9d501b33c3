import JSON

/// A position in a recipe.
public struct SourcePosition: Sendable, Hashable, CustomStringConvertible {
    /// The file's path, or `--set` and the override.
    public var file: String
    /// From 1; 0 for an override, which has no lines.
    public var line: Int
    /// In characters, from 1.
    public var column: Int

    /// `file:line:column`, which editors and terminals can follow; for an override its own text.
    public var description: String { line == 0 ? file : "\(file):\(line):\(column)" }
}

/// A JSON value with its position in the file.
public struct JSONNode: Sendable {
    /// An object's entry, in file order.
    public struct Member: Sendable {
        /// Its key.
        public var key: String
        /// The key's position.
        public var position: SourcePosition
        /// Its value.
        public var value: JSONNode
    }

    /// The kinds of JSON value; numbers keep their text so that integers stay exact.
    public enum Value: Sendable {
        /// `null`.
        case null
        /// `true` or `false`.
        case bool(Bool)
        /// A number as written.
        case number(String)
        /// A string, escapes resolved.
        case string(String)
        /// An array's elements, in file order.
        case array([JSONNode])
        /// An object's entries, in file order.
        case object([Member])
    }

    /// The value.
    public var value: Value
    /// The position of its first character.
    public var position: SourcePosition

    /// The value's kind, for messages.
    var kind: String {
        switch value {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .number(let text): text
        case .string(let text): "\"\(text)\""
        case .array: "an array"
        case .object: "an object"
        }
    }

    /// The member called `key`, where this is an object that has one.
    subscript(key: String) -> JSONNode? {
        guard case .object(let members) = value else { return nil }
        return members.first { $0.key == key }?.value
    }

    /// The element at `index`, where this is an array that has one.
    subscript(index: Int) -> JSONNode? {
        guard case .array(let elements) = value, elements.indices.contains(index) else { return nil }
        return elements[index]
    }

    /// This object with `other`'s members laid over it: objects merge, everything else is replaced.
    func merged(with other: JSONNode) -> JSONNode {
        guard case .object(var members) = value, case .object(let others) = other.value else { return other }
        for member in others {
            if let index = members.firstIndex(where: { $0.key == member.key }) {
                members[index] = JSONNode.Member(
                    key: member.key, position: member.position, value: members[index].value.merged(with: member.value))
            } else {
                members.append(member)
            }
        }
        return JSONNode(value: .object(members), position: other.position)
    }

    /// This value with all positions in it replaced.
    func standing(at position: SourcePosition) -> JSONNode {
        switch value {
        case .array(let elements):
            return JSONNode(value: .array(elements.map { $0.standing(at: position) }), position: position)
        case .object(let members):
            let moved = members.map { Member(key: $0.key, position: position, value: $0.value.standing(at: position)) }
            return JSONNode(value: .object(moved), position: position)
        default:
            return JSONNode(value: value, position: position)
        }
    }
}

extension JSONNode {
    /// Reads a document that may have comments and trailing commas.
    static func parse(_ text: String, file: String) throws(RecipeError) -> JSONNode {
        let bytes = Array(text.utf8)
        let document: JSONDocument
        do throws(JSONError) { document = try JSONDocument(parsing: bytes, syntax: .relaxed) } catch {
            let (line, column) = error.position(in: bytes)
            throw .syntax(SourcePosition(file: file, line: line, column: column), error.reason)
        }
        var places = Places(file: file, lines: LineCounter(bytes), offsets: document.offsets.makeIterator())
        return try JSONNode(document.value, &places)
    }

    /// The positions of a document's parts, in their order.
    private struct Places {
        let file: String
        var lines: LineCounter
        var offsets: IndexingIterator<[Int]>

        mutating func next() -> SourcePosition {
            let (line, column) = lines.position(of: offsets.next() ?? 0)
            return SourcePosition(file: file, line: line, column: column)
        }
    }

    private init(_ json: JSONValue, _ places: inout Places) throws(RecipeError) {
        position = places.next()
        switch json {
        case .null: value = .null
        case .bool(let flag): value = .bool(flag)
        case .number(let text):
            guard Double(text)?.isFinite == true else { throw .syntax(position, "'\(text)' is no number") }
            value = .number(text)
        case .string(let bytes): value = .string(String(decoding: bytes, as: UTF8.self))
        case .array(let elements):
            var nodes: [JSONNode] = []
            for element in elements { nodes.append(try JSONNode(element, &places)) }
            value = .array(nodes)
        case .object(let members):
            var nodes: [Member] = []
            for member in members {
                let key = places.next()
                nodes.append(Member(key: member.name, position: key, value: try JSONNode(member.value, &places)))
            }
            value = .object(nodes)
        }
    }
}
