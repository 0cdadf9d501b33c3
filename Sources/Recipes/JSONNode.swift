/// Where something stands in a recipe.
public struct SourcePosition: Sendable, Hashable, CustomStringConvertible {
    /// The file's path, or `--set`.
    public var file: String
    /// From 1.
    public var line: Int
    /// In characters, from 1.
    public var column: Int

    public var description: String { "\(file):\(line):\(column)" }
}

/// A JSON value that remembers where it stands.
public struct JSONNode: Sendable {
    /// An object's entry, in file order.
    public struct Member: Sendable {
        /// Its key.
        public var key: String
        /// Where the key stands.
        public var position: SourcePosition
        /// Its value.
        public var value: JSONNode
    }

    /// The kinds of JSON value; numbers keep their text so that integers stay exact.
    public enum Value: Sendable {
        case null
        case bool(Bool)
        case number(String)
        case string(String)
        case array([JSONNode])
        case object([Member])
    }

    /// The value.
    public var value: Value
    /// Where it begins.
    public var position: SourcePosition

    /// What the value is, for messages.
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

    /// This object with the value at `path` replaced, objects on the way made where they are missing.
    func setting(_ path: ArraySlice<String>, to node: JSONNode) -> JSONNode {
        guard let key = path.first else { return node }
        var members: [Member] = if case .object(let members) = value { members } else { [] }
        let empty = JSONNode(value: .object([]), position: node.position)
        if let index = members.firstIndex(where: { $0.key == key }) {
            members[index].value = members[index].value.setting(path.dropFirst(), to: node)
        } else {
            members.append(Member(key: key, position: node.position, value: empty.setting(path.dropFirst(), to: node)))
        }
        return JSONNode(value: .object(members), position: position)
    }
}
