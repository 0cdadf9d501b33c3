import Foundation

extension Recipe {
    /// Reads the recipe at `path` with what it extends and the overrides `key.path=value`, later ones winning.
    ///
    /// An override's value is JSON where it parses as such, else a string. Throws ``RecipeError``.
    public static func load(_ path: String, overrides: [String] = []) throws(RecipeError) -> Recipe {
        var node = try document(path, extendedBy: [])
        for (index, text) in overrides.enumerated() { node = try apply(text, number: index + 1, to: node) }
        return try Recipe(node)
    }

    /// Reads a recipe given as text, such as the resolved one that a checkpoint keeps.
    public static func parse(_ text: String, name: String = "recipe") throws(RecipeError) -> Recipe {
        try Recipe(try JSONParser.parse(text, file: name))
    }

    private static func document(_ path: String, extendedBy children: [String]) throws(RecipeError) -> JSONNode {
        let identity = URL(fileURLWithPath: path).standardizedFileURL.resolvingSymlinksInPath().path
        guard !children.contains(identity) else { throw .cycle(children + [identity]) }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw .unreadable(
                path: path,
                reason: FileManager.default.fileExists(atPath: path) ? "permission denied or a directory" : "no such file")
        }
        guard data.count <= 1 << 20 else {
            throw .unreadable(path: path, reason: "\(data.count) bytes, a recipe has at most 1 MiB")
        }
        guard let text = String(validating: data, as: UTF8.self) else { throw .unreadable(path: path, reason: "it is not UTF-8") }
        let node = try JSONParser.parse(text, file: path)
        guard case .object = node.value, let parent = node["extends"] else { return node }
        guard case .string(let parentPath) = parent.value else {
            throw .wrongType(parent.position, path: "extends", found: parent.kind, expected: "a file name")
        }
        let resolved =
            parentPath.hasPrefix("/")
            ? parentPath : URL(fileURLWithPath: path).deletingLastPathComponent().appending(path: parentPath).relativePath
        return try document(resolved, extendedBy: children + [identity]).merged(with: node)
    }

    private static func apply(_ text: String, number: Int, to node: JSONNode) throws(RecipeError) -> JSONNode {
        guard let equals = text.firstIndex(of: "="), equals != text.startIndex else { throw .badOverride(text) }
        let path = text[..<equals].split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard !path.contains("") else { throw .badOverride(text) }
        let raw = String(text[text.index(after: equals)...])
        let file = "--set \(text)"
        let value =
            (try? JSONParser.parse(raw, file: file))
            ?? JSONNode(
                value: .string(raw),
                position: SourcePosition(file: file, line: 1, column: text.distance(from: text.startIndex, to: equals) + 2))
        return node.setting(path[...], to: JSONNode(value: value.value, position: SourcePosition(file: file, line: 1, column: 1)))
    }

    /// The recipe with every default, as JSON that loads again to an equal recipe.
    public var resolvedJSON: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        // Encoding plain values cannot fail.
        let data = (try? encoder.encode(self)) ?? Data()
        return String(decoding: data, as: UTF8.self)
    }
}
