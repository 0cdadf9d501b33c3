import Kernels
import Models

/// A cache's configuration as one word: `full`, or settings with commas between, such as `evict=snapkv,budget=256,dtype=bf16`.
///
/// The keys are listed in one table beside the type, their values where they are defined: a new encoding or policy can be named without
/// a change here. A key of an eviction is its flag without `--kv-`.
public struct CacheSpec: Sendable, Hashable, CustomStringConvertible {
    /// The encoding of keys and values.
    public var encoding: KVEncoding
    /// The eviction's settings.
    public private(set) var eviction = EvictionSettings()
    /// The residual of the encoding, where given.
    private var residual: Int?
    /// The settings given, by their keys.
    private var given: [String: String] = [:]

    /// A setting: its key, its values in words, and how one of them changes a configuration, which fails for any other.
    private struct Key: Sendable {
        var name: String
        var values: @Sendable () -> String
        var set: @Sendable (inout CacheSpec, String) -> Bool
    }

    /// A key whose value sets a property of an eviction.
    private static func key<Value>(
        _ name: String, _ values: @escaping @Sendable @autoclosure () -> String,
        _ set: @escaping @Sendable (inout EvictionSettings, Value) -> Void, _ read: @escaping @Sendable (String) -> Value?
    ) -> Key {
        Key(name: name, values: values) { spec, text in
            guard let value = read(text) else { return false }
            set(&spec.eviction, value)
            return true
        }
    }

    private static let keys =
        [
            Key(name: "dtype", values: { KVEncoding.all.map(\.name).joined(separator: ", ") }) { spec, text in
                guard let encoding = KVEncoding(name: text) else { return false }
                spec.encoding = encoding
                return true
            },
            Key(name: "residual", values: { number }) { spec, text in
                spec.residual = Int(text)
                return spec.residual != nil
            },
            key("evict", EvictionPolicies.names.joined(separator: ", "), { $0.policy = $1 }) {
                EvictionPolicies.names.contains($0) ? $0 : nil
            },
            key(EvictionOption.budget.rawValue, "slots, such as 512 or 25%", { $0.budget = $1 }) { EvictionBudget($0) },
            key(EvictionOption.sinks.rawValue, number, { $0.sinks = $1 }) { Int($0) },
            key(EvictionOption.recent.rawValue, number, { $0.recent = $1 }) { Int($0) },
            key(EvictionOption.window.rawValue, number, { $0.window = $1 }) { Int($0) },
            key(EvictionOption.pool.rawValue, "an odd width, or such as max7", { $0.pool = $1 }) { ScorePool($0) },
            key(EvictionOption.interval.rawValue, number, { $0.interval = $1 }) { Int($0) },
            key(EvictionOption.future.rawValue, number, { $0.future = $1 }) { Int($0) },
            key(
                EvictionOption.allocation.rawValue, BudgetAllocation.allCases.map(\.rawValue).joined(separator: ", "),
                { $0.allocation = $1 }
            ) { BudgetAllocation(rawValue: $0) },
            key(EvictionOption.merge.rawValue, SlotMerges.names.joined(separator: ", "), { $0.merge = $1 }) {
                SlotMerges.names.contains($0) ? $0 : nil
            },
            key(EvictionOption.seed.rawValue, number, { $0.seed = $1 }) { UInt64($0) },
        ] as [Key]

    private static let number = "a whole number"

    /// Reads a configuration; settings left out are as in `defaults`.
    ///
    /// Throws ``InferenceError/cacheSpec(_:)``, or why the eviction cannot be.
    public init(_ text: String, defaults: KVEncoding = .float32) throws(InferenceError) {
        // All tokens are kept unless a setting says otherwise.
        guard text != "full" else {
            self.init(keepingAllIn: defaults)
            return
        }
        var settings: [(key: String, value: String)] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard sides.count == 2, Self.keyNames.contains(sides[0]) else {
                throw .cacheSpec(
                    "'\(part)' is no setting of a cache; use full, or KEY=VALUE with one of the keys "
                        + Self.keyNames.joined(separator: ", "))
            }
            settings.append((sides[0], sides[1]))
        }
        try self.init(settings, defaults: defaults)
    }

    /// A configuration from settings by their keys, all tokens kept where there are none; an encoding left out is `defaults`.
    ///
    /// Precondition: the keys are among ``keyNames``. Throws as ``init(_:defaults:)`` does.
    public init(_ settings: [(key: String, value: String)], defaults: KVEncoding = .float32) throws(InferenceError) {
        encoding = defaults
        for (name, value) in settings {
            guard let key = Self.keys.first(where: { $0.name == name }) else {
                preconditionFailure("CacheSpec: '\(name)' is no setting")
            }
            guard given.updateValue(value, forKey: name) == nil else {
                let text = settings.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
                throw .cacheSpec("'\(name)' is set twice in '\(text)'")
            }
            guard key.set(&self, value) else { throw .cacheSpec("'\(value)' is no \(name), expected \(key.values())") }
        }
        given["dtype"] = nil
        if let residual {
            do { encoding = try encoding.with(residual: residual) } catch { throw .cacheSpec("\(error)") }
            (self.residual, given["residual"]) = (nil, nil)
        }
        _ = try retention()
    }

    /// The keys of settings, the encoding's first.
    public static var keyNames: [String] { keys.map(\.name) }

    /// The values that `key` takes, in words, where `value` is none of them; nil where it is one.
    public static func expected(insteadOf value: String, for key: String) -> String? {
        guard let key = keys.first(where: { $0.name == key }) else { return nil }
        var spec = Self.unset
        return key.set(&spec, value) ? nil : key.values()
    }

    private static let unset = CacheSpec(keepingAllIn: .float32)

    /// A cache of all tokens in `encoding`.
    public init(keepingAllIn encoding: KVEncoding) { self.encoding = encoding }

    /// The settings given, by their keys in order, the encoding's name and its residual always among them.
    public var settings: [(key: String, value: String)] {
        Self.keys.compactMap { key in
            switch key.name {
            case "dtype": (key.name, encoding.name)
            case "residual": encoding.residual > 0 ? (key.name, "\(encoding.residual)") : nil
            default: given[key.name].map { (key.name, $0) }
            }
        }
    }

    /// Every setting that was given, the dtype and its residual, as ``init(_:defaults:)`` reads them back, in the order of the keys.
    public var description: String { settings.map { "\($0.key)=\($0.value)" }.joined(separator: ",") }

    /// The eviction in words, its budget behind the policy and then the other settings: snapkv 64, window=16; "full" where all tokens
    /// are kept.
    public var evictionText: String {
        guard let policy = eviction.policy else { return "full" }
        let others = settings.filter { !["dtype", "residual", "evict", EvictionOption.budget.rawValue].contains($0.key) }
        return (["\(policy) \(eviction.budget?.text ?? "")"] + others.map { "\($0.key)=\($0.value)" }).joined(separator: ", ")
    }

    /// The eviction policy's name; nil where all tokens are kept.
    public var policy: String? { eviction.policy }

    /// Whether slots are evicted.
    public var evicts: Bool { eviction.policy != nil }

    /// The retention of layers without a window.
    public func retention() throws(InferenceError) -> any Retention { try eviction.retention() }

    /// Configures an engine's cache.
    public func apply(to options: inout EngineOptions) throws(InferenceError) {
        options.encoding = encoding
        options.retention = try retention()
    }

    /// Bytes of the keys and values that a model of `config` keeps of a prompt of `tokens`, at the end of whose first `context`
    /// evictions decide.
    public func bytesHeld(_ config: ModelConfig, tokens: Int, context: Int) throws(InferenceError) -> Int {
        config.bytesHeld(encoding, try retention(), tokens: tokens, context: context)
    }
}
