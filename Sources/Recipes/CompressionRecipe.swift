import Inference
import Kernels

extension CacheSpec: Encodable {
    /// As a recipe has it: its settings as an object, numbers as numbers, the encoding under `kvDtype`.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: SettingKey.self)
        for (key, value) in settings {
            let name = SettingKey(key == "dtype" ? CacheSpec.recipeEncodingKey : key)
            if let number = Int(value) {
                try container.encode(number, forKey: name)
            } else {
                try container.encode(value, forKey: name)
            }
        }
    }

    /// The key of an encoding in recipes, which take the one of `--cache` as well.
    static let recipeEncodingKey = "kvDtype"

    private struct SettingKey: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }

        init(_ name: String) { stringValue = name }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }
}

extension ObjectReader {
    /// The caches that `key` lists, whose keys are those of `--cache`; nil where it is absent.
    ///
    /// - Parameter defaults: the encoding of caches that name none.
    func caches(_ key: String, defaults: KVEncoding) throws(RecipeError) -> [CacheSpec]? {
        guard let sections = try objects(key) else { return nil }
        guard !sections.isEmpty else { throw .impossible(position(of: key), path: keyPath(key), reason: "is empty") }
        var caches: [CacheSpec] = []
        for section in sections {
            let cache = try section.cache(defaults: defaults)
            guard !caches.contains(cache) else {
                throw .impossible(section.position, path: section.path, reason: "'\(cache)' stands there twice")
            }
            caches.append(cache)
        }
        return caches
    }

    /// The cache that this object describes.
    func cache(defaults: KVEncoding) throws(RecipeError) -> CacheSpec {
        var settings: [(key: String, value: String)] = []
        for name in [CacheSpec.recipeEncodingKey] + CacheSpec.keyNames {
            guard let value = try setting(name) else { continue }
            let key = name == CacheSpec.recipeEncodingKey ? "dtype" : name
            guard !settings.contains(where: { $0.key == key }) else {
                throw .impossible(
                    position(of: name), path: keyPath(name),
                    reason: "'\(CacheSpec.recipeEncodingKey)' says that already; leave it out")
            }
            if let expected = CacheSpec.expected(insteadOf: value, for: key) {
                throw .wrongType(position(of: name), path: keyPath(name), found: "\"\(value)\"", expected: expected)
            }
            settings.append((key, value))
        }
        try finish()
        do { return try CacheSpec(settings, defaults: defaults) } catch { throw refusal(of: error) }
    }

    /// The refusal of settings that do not go together, at the key of the one that does not.
    private func refusal(of error: InferenceError) -> RecipeError {
        func at(_ option: String, _ reason: String) -> RecipeError {
            let key = EvictionOption.allCases.first { $0.flag == option }?.rawValue ?? option
            return .impossible(position(of: key), path: keyPath(key), reason: reason)
        }
        return switch error {
        case .noBudget: .missing(position, path: keyPath(EvictionOption.budget.rawValue))
        case .optionWithoutPolicy(let option): at(option, "means nothing without 'evict'")
        case .foreignOption(let option, let policy): at(option, "means nothing for '\(policy)'")
        case .optionTooSmall(let option, let value, let least, let reason):
            at(option, "\(value), expected at least \(least)" + (reason.isEmpty ? "" : ": \(reason)"))
        default: .impossible(position, path: path, reason: "\(error)")
        }
    }
}
