import JSON

/// Why a model cannot be brought in or given out, as facts.
public enum ImportError: Error, CustomStringConvertible, Equatable {
    /// A configuration is no JSON object.
    case json(path: String, JSONError)
    /// A key a configuration must have is absent.
    case missingKey(path: String, key: String)
    /// A key's value is not of the kind it must be.
    case wrongValue(path: String, key: String, found: String, expected: String)
    /// A key's value asks for mathematics this tool does not do.
    case unsupported(path: String, key: String, found: String, supported: String)
    /// The configuration contradicts itself.
    case invalid(path: String, reason: String)
    /// A weight the configuration needs is in none of the files.
    case missingTensor(path: String, name: String)
    /// A tensor does not fit the configuration.
    case tensor(path: String, name: String, reason: String)
    /// A path is no model of any known form.
    case unknownFormat(path: String, reason: String)
    /// Something stands where the result should go.
    case occupied(path: String)
    /// The model has no form in the format asked for.
    case notExpressible(reason: String)
    /// The model has no form in the format named.
    case notInFormat(String, reason: String)

    public var description: String {
        switch self {
        case .json(let path, let error): "\(path): not valid JSON: \(error)"
        case .missingKey(let path, let key): "\(path): '\(key)' is missing"
        case .wrongValue(let path, let key, let found, let expected): "\(path): '\(key)' is \(found), expected \(expected)"
        case .unsupported(let path, let key, let found, let supported):
            "\(path): '\(key)' is \(found), which kvlab cannot compute; supported: \(supported)"
        case .invalid(let path, let reason): "\(path): \(reason)"
        case .missingTensor(let path, let name): "\(path): tensor '\(name)' is missing"
        case .tensor(let path, let name, let reason): "\(path): tensor '\(name)' \(reason)"
        case .unknownFormat(let path, let reason): "\(path): \(reason)"
        case .occupied(let path): "\(path): already there and not empty; remove it or choose another directory with --out"
        case .notExpressible(let reason): "this model has no Hugging Face form: \(reason)"
        case .notInFormat(let format, let reason): "this model has no \(format) form: \(reason)"
        }
    }
}
