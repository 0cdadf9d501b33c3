import JSON

/// An error of importing or exporting a model.
public enum ImportError: Error, CustomStringConvertible, Equatable {
    /// A configuration is not a JSON object.
    case json(path: String, JSONError)
    /// A file violates its format.
    case malformed(path: String, format: String, reason: String)
    /// A required key of a configuration is absent.
    case missingKey(path: String, key: String)
    /// A key's value has the wrong type or range, or is absent where `found` is nil.
    case wrongValue(path: String, key: String, found: String?, expected: String)
    /// A key's value asks for mathematics that kvlab does not support.
    case unsupported(path: String, key: String, found: String, supported: String)
    /// A path is no model of a known format, or its configuration contradicts itself.
    case invalid(path: String, reason: String)
    /// A tensor is invalid, absent, or does not fit the configuration.
    case tensor(path: String, name: String, reason: String)
    /// The output path exists and is not empty.
    case occupied(path: String)
    /// The model has no form in the format named.
    case notExpressible(in: String = "Hugging Face", reason: String)

    public var description: String {
        switch self {
        case .json(let path, let error): "\(path): not valid JSON: \(error)"
        case .malformed(let path, let format, let reason): "\(path): not a valid \(format) file: \(reason)"
        case .missingKey(let path, let key): "\(path): '\(key)' is missing"
        case .wrongValue(let path, let key, let found, let expected):
            "\(path): '\(key)' is \(found ?? "missing"), expected \(expected)"
        case .unsupported(let path, let key, let found, let supported):
            "\(path): '\(key)' is \(found), which kvlab cannot compute; supported: \(supported)"
        case .invalid(let path, let reason): "\(path): \(reason)"
        case .tensor(let path, let name, let reason): "\(path): tensor '\(name)' \(reason)"
        case .occupied(let path): "\(path): already there and not empty; remove it or choose another directory with --out"
        case .notExpressible(let format, let reason): "this model has no \(format) form: \(reason)"
        }
    }
}
