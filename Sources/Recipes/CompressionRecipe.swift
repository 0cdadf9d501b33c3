import Inference
import JSON
import Kernels
import Models

extension CacheSpec: Encodable {
    /// As a recipe has it: its settings as an object, numbers as numbers, the encoding under `kvDtype`.
    public func encode(to encoder: any Encoder) throws {
        let values = settings.map { key, value in
            let name = key == CacheSetting.dtype.key ? CacheSpec.recipeEncodingKey : key
            return (name, Int(value).map(DesignSettings.Value.integer) ?? .choice(value))
        }
        try Dictionary(uniqueKeysWithValues: values).encode(to: encoder)
    }

    /// The key of an encoding in recipes, which take the one of `--cache` as well.
    static let recipeEncodingKey = "kvDtype"
}

extension RecipeSection {
    /// A cache, as `CacheSpec` reads its settings.
    static let cache = RecipeSection(
        "lab.compression[]",
        CacheSetting.eviction.filter { !$0.isOfOneModel }.map { setting in
            RecipeKey(
                setting,
                absence: setting.key == EvictionOption.budget.rawValue ? .requiredIf("with `evict` but for `fastgen`") : .optional
            )
        } + [
            RecipeKey(
                .dtype, name: CacheSpec.recipeEncodingKey,
                absence: .derived("as `lab.evaluation.kvDtype`, without a lab fp16")),
            RecipeKey(.dtype, meaning: "the same as `kvDtype`, as `--cache` calls it"), RecipeKey(.residual),
        ])
}

extension RecipeKey {
    /// A setting of a cache, as a recipe's key.
    fileprivate init(_ setting: CacheSetting, name: String? = nil, meaning: String? = nil, absence: Absence = .optional) {
        let type: RecipeType =
            switch setting.kind {
            case .choice(let names): .choice(names)
            case .choices(let names, let example): .choices(names, example)
            case .integer(let range): .integer(range)
            case .text(let example, _): .integerOrText(example)
            }
        self.init(
            name: name ?? setting.key, type: type, absence: absence, meaning: meaning ?? setting.meaning,
            example: Int(setting.example).map(JSONValue.int) ?? .text(setting.example))
    }
}

extension ObjectReader {
    /// The cache that this object describes, whose keys are those of `--cache`.
    ///
    /// - Parameter defaults: the encoding of a cache that names none.
    func cache(defaults: CacheEncoding) throws(RecipeError) -> CacheSpec {
        var settings: [(key: String, value: String)] = []
        for setting in CacheSetting.all where !setting.isOfOneModel {
            let names = (setting.key == CacheSetting.dtype.key ? [CacheSpec.recipeEncodingKey] : []) + [setting.key]
            for name in names {
                guard let value = try self.setting(name) else { continue }
                guard !settings.contains(where: { $0.key == setting.key }) else {
                    throw impossible(at: name, "'\(CacheSpec.recipeEncodingKey)' says that already; leave it out")
                }
                guard setting.takes(value) else {
                    if case .choices = setting.kind {
                        throw impossible(at: name, setting.refusal(of: value))
                    }
                    throw .wrongType(
                        position(of: name), path: keyPath(name), found: "\"\(value)\"", expected: setting.expected)
                }
                settings.append((setting.key, value))
            }
        }
        try finish()
        do { return try CacheSpec(settings, defaults: defaults, measuresHeads: true) } catch { throw refusal(of: error) }
    }

    /// The refusal of conflicting settings, at the offending key.
    private func refusal(of error: InferenceError) -> RecipeError {
        func at(_ option: String, _ reason: String) -> RecipeError {
            let key = EvictionOption.allCases.first { $0.flag == option }?.rawValue ?? option
            return impossible(at: key, reason)
        }
        return switch error {
        case .noBudget: .missing(position, path: keyPath(EvictionOption.budget.rawValue))
        case .optionWithoutPolicy(let option): at(option, "means nothing without 'evict'")
        case .foreignOption(let option, let policy): at(option, "means nothing for '\(policy)'")
        case .optionTooSmall(let option, let value, let least, let reason):
            at(option, "\(value), expected at least \(least)" + (reason.isEmpty ? "" : ": \(reason)"))
        default: impossible("\(error)")
        }
    }
}
