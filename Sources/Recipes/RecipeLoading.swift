import Files
import Foundation

extension Recipe {
    /// Reads the recipe at `path` with what it extends and the overrides `key.path=value`, later ones winning.
    ///
    /// An override's value is JSON where it parses as such, else a string. Throws ``RecipeError``.
    public static func load(_ path: String, overrides: [String] = []) throws(RecipeError) -> Recipe {
        try Recipe(try node(path, overrides: overrides))
    }

    /// The position of the value of `keyPath` (`train.batch`, `lab.sweep.methods[1]`), for errors found only once data has been read.
    public static func position(of keyPath: String, in path: String, overrides: [String] = []) throws(RecipeError)
        -> SourcePosition
    {
        try node(path, overrides: overrides).position(of: keyPath)
    }

    private static func node(_ path: String, overrides: [String]) throws(RecipeError) -> JSONNode {
        var node = try document(path, extendedBy: [])
        for text in overrides { node = try apply(text, to: node) }
        return node
    }

    /// Reads a recipe given as text, such as the resolved one that a checkpoint keeps.
    public static func parse(_ text: String, name: String = "recipe") throws(RecipeError) -> Recipe {
        try Recipe(try JSONNode.parse(text, file: name))
    }

    private static func document(_ path: String, extendedBy children: [String], at reference: SourcePosition? = nil)
        throws(RecipeError) -> JSONNode
    {
        let identity = URL(fileURLWithPath: path).standardizedFileURL.resolvingSymlinksInPath().path
        guard !children.contains(identity) else { throw .cycle(children + [identity]) }
        guard let data = FileManager.default.contents(atPath: path) else {
            let reason = FileManager.default.fileExists(atPath: path) ? "permission denied or a directory" : "no such file"
            throw .unreadable(path: path, reason: reason + (reference.map { " (\($0) extends it)" } ?? ""))
        }
        guard data.count <= 1 << 20 else {
            throw .unreadable(path: path, reason: "\(data.count) bytes, a recipe has at most 1 MiB")
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw .unreadable(path: path, reason: "byte \(data.firstInvalidUTF8 ?? 0) is not UTF-8")
        }
        let node = try JSONNode.parse(text, file: path)
        guard case .object = node.value, let parent = node["extends"] else { return node }
        guard case .string(let parentPath) = parent.value else {
            throw .wrongType(parent.position, path: "extends", found: parent.kind, expected: "a file name")
        }
        let resolved =
            parentPath.hasPrefix("/")
            ? parentPath : URL(fileURLWithPath: path).deletingLastPathComponent().appending(path: parentPath).relativePath
        return try document(resolved, extendedBy: children + [identity], at: parent.position).merged(with: node)
    }

    private static func apply(_ text: String, to node: JSONNode) throws(RecipeError) -> JSONNode {
        guard let equals = text.firstIndex(of: "="), let path = JSONPath(text[..<equals]) else { throw .badOverride(text) }
        let raw = String(text[text.index(after: equals)...])
        let position = SourcePosition(file: "--set \(text)", line: 0, column: 0)
        let parsed = try? JSONNode.parse(raw, file: position.file)
        return try node.setting(path, to: (parsed ?? JSONNode(value: .string(raw), position: position)).standing(at: position))
    }

    /// The recipe with every default, as JSON that loads again to an equal recipe.
    public var resolvedJSON: String {
        // Encoding plain values cannot fail.
        (try? CanonicalJSON.text(of: self, pretty: true)) ?? ""
    }
}
