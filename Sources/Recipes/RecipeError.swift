/// A fault of a recipe, with its position.
public enum RecipeError: Error, CustomStringConvertible, Equatable {
    /// The text is no JSON.
    case syntax(SourcePosition, String)
    /// A key that means nothing here: the nearest one that does, and the objects that have such a key.
    case unknownKey(SourcePosition, path: String, nearest: String?, elsewhere: [String], valid: [String])
    /// A value of another type than the key takes.
    case wrongType(SourcePosition, path: String, found: String, expected: String)
    /// A key that has to be there.
    case missing(SourcePosition, path: String)
    /// A value or a combination that cannot be.
    case impossible(SourcePosition, path: String, reason: String)
    /// Recipes that extend each other in a circle.
    case cycle([String])
    /// A recipe that cannot be read.
    case unreadable(path: String, reason: String)
    /// An override that is no `key.path=value`.
    case badOverride(String)

    /// The sentence for the user, the place in the recipe first where there is one, then the key's whole path.
    public var description: String {
        switch self {
        case .syntax(let position, let message): "\(position): \(message)"
        case .unknownKey(let position, let path, let nearest, let elsewhere, let valid):
            "\(position): unknown key '\(path)'; "
                + (nearest.map { "did you mean '\($0)'?" } ?? Self.belongs(path, under: elsewhere)
                    ?? "valid here: \(valid.joined(separator: ", "))")
        case .wrongType(let position, let path, let found, let expected):
            "\(position): '\(path)' is \(found), expected \(expected)"
        case .missing(let position, let path): "\(position): '\(path)' is missing"
        case .impossible(let position, let path, let reason): "\(position): '\(path)': \(reason)"
        case .cycle(let files): "recipes extend each other in a circle: \(files.joined(separator: " → "))"
        case .unreadable(let path, let reason): "\(path): cannot read the recipe: \(reason)"
        case .badOverride(let text): "--set '\(text)': expected key.path=value, for example train.steps=100"
        }
    }

    /// The objects that a misplaced key belongs to, in words; nil for a key that none has.
    private static func belongs(_ path: String, under objects: [String]) -> String? {
        let places = objects.map { $0.isEmpty ? "the recipe itself" : "'\($0)'" }
        guard let last = places.last else { return nil }
        let key = path.split(separator: ".").last ?? ""
        return "'\(key)' belongs under \((places.count > 1 ? places.dropLast().joined(separator: ", ") + " or " : "") + last)"
    }
}
