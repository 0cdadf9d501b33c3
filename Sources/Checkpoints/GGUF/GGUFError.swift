/// What is wrong with a GGUF file, as facts.
public enum GGUFError: Error, CustomStringConvertible, Equatable {
    /// The file is not what the format asks for.
    case malformed(path: String, reason: String)
    /// A key's value is not what it must be; `found` is nil where the key is absent.
    case key(path: String, key: String, found: String?, expected: String)
    /// A key's value asks for mathematics this tool does not do.
    case unsupported(path: String, key: String, found: String, supported: String)
    /// A tensor's own entry cannot be right, or does not fit the metadata.
    case tensor(path: String, name: String, reason: String)
    /// The model has no GGUF form.
    case notExpressible(reason: String)

    public var description: String {
        switch self {
        case .malformed(let path, let reason): "\(path): not a valid GGUF file: \(reason)"
        case .key(let path, let key, let found, let expected):
            found.map { "\(path): '\(key)' is \($0), expected \(expected)" }
                ?? "\(path): '\(key)' is missing, expected \(expected)"
        case .unsupported(let path, let key, let found, let supported):
            "\(path): '\(key)' is \(found), which kvlab cannot compute; supported: \(supported)"
        case .tensor(let path, let name, let reason): "\(path): tensor '\(name)' \(reason)"
        case .notExpressible(let reason): "this model has no GGUF form: \(reason)"
        }
    }
}
