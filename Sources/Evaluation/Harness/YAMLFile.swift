import Files
import JSON
import Yams

/// YAML files as JSON values, plain scalars typed by YAML 1.1 as PyYAML types them.
enum YAMLFile {
    /// The value of the file at `path`; a name that ends in `.json` is read as JSON.
    ///
    /// Throws `FileError`, or ``ScoringError/file(_:line:reason:)``, also for a tag such as `!function`, which asks for Python.
    static func read(_ path: String) throws -> JSONValue {
        if path.hasSuffix(".json") { return try JSONValue(path: path, limit: 1 << 24) }
        let bytes = try RegularFile.contents(path, links: .followed, limit: 1 << 24)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ScoringError.file(path, line: 1, reason: "not UTF-8")
        }
        let node: Node?
        do { node = try Yams.compose(yaml: text) } catch {
            let (line, reason) = Self.fault(error)
            throw ScoringError.file(path, line: line, reason: "not valid YAML: \(reason)")
        }
        guard let node else { throw ScoringError.file(path, line: 1, reason: "an empty file") }
        var reader = Reader(path: path)
        return try reader.value(node)
    }

    private static func fault(_ error: any Error) -> (line: Int, reason: String) {
        switch error as? YamlError {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _), .composer(_, let problem, let mark, _):
            (mark.line, problem)
        case .reader(let problem, _, _, _): (1, problem)
        case .duplicatedKeysInMapping(let duplicates, let context):
            (context.mark.line, "'\(duplicates.first ?? "")' is there twice")
        default: (1, "\(error)")
        }
    }

    private struct Reader {
        let path: String
        /// Values read; aliases may stand for many.
        var nodes = 0

        mutating func value(_ node: Node) throws(ScoringError) -> JSONValue {
            let tag = node.tag.description
            func refused(_ reason: String) -> ScoringError { .file(path, line: node.mark?.line ?? 1, reason: reason) }
            nodes += 1
            guard nodes <= 100_000 else { throw refused("more than 100000 values") }
            guard tag.hasPrefix("tag:yaml.org,2002:") else {
                let name = node.scalar.map { " \($0.string.prefix(60))" } ?? ""
                throw refused("'\(tag.prefix(60))\(name)' asks for Python, which kvlab does not run")
            }
            switch node {
            case .scalar(let scalar): return try self.scalar(scalar, tag: tag.dropFirst("tag:yaml.org,2002:".count), node)
            case .sequence(let sequence):
                var elements: [JSONValue] = []
                for element in sequence { elements.append(try value(element)) }
                return .array(elements)
            case .mapping(let mapping):
                var members: [JSONValue.Member] = []
                for (key, element) in mapping {
                    guard let name = key.scalar?.string, key.tag.description != "tag:yaml.org,2002:merge" else {
                        throw refused("a key that is no plain name")
                    }
                    members.append(JSONValue.Member(name, try value(element)))
                }
                return .object(members)
            case .alias: throw refused("an alias without its anchor")
            }
        }

        private func scalar(_ scalar: Node.Scalar, tag: Substring, _ node: Node) throws(ScoringError) -> JSONValue {
            switch tag {
            case "null": return .null
            case "bool": return node.bool.map { .bool($0) } ?? .text(scalar.string)
            case "int": return node.int.map { .int($0) } ?? .text(scalar.string)
            case "float":
                guard let value = node.float, value.isFinite else {
                    throw .file(path, line: node.mark?.line ?? 1, reason: "'\(scalar.string.prefix(40))' is no finite number")
                }
                return .number("\(value)")
            default: return .text(scalar.string)
            }
        }
    }
}
