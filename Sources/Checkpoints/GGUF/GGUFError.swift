/// An error of a GGUF file.
public enum GGUFError: Error, CustomStringConvertible, Equatable {
    /// The file violates the format.
    case malformed(path: String, reason: String)
    /// A key's value is invalid; `found` is nil if the key is absent.
    case key(path: String, key: String, found: String?, expected: String)
    /// A key's value asks for mathematics that kvlab does not support.
    case unsupported(path: String, key: String, found: String, supported: String)
    /// A tensor's entry is invalid or does not fit the metadata.
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
