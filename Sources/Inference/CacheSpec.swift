import Kernels
import Models

/// A cache's configuration as one word: `full`, or settings with commas between, such as `evict=snapkv,budget=256,dtype=bf16`.
///
/// Its settings are those of ``CacheSetting``: a new encoding or policy can be named without a change here.
public struct CacheSpec: Sendable, Hashable, CustomStringConvertible {
    /// The encoding of keys and values.
    public var encoding: CacheEncoding
    /// The eviction's settings.
    public private(set) var eviction = EvictionSettings()

    /// Reads a configuration; settings left out are as in `defaults`.
    ///
    /// Throws ``InferenceError/cacheSpec(_:)``, or the reason why the eviction is refused.
    ///
    /// - Parameter measuresHeads: whether the scores of heads may be missing, as the caller measures them (``unmeasuredPolicy``).
    public init(_ text: String, defaults: CacheEncoding = .float32, measuresHeads: Bool = false) throws(InferenceError) {
        // All tokens are kept unless a setting says otherwise.
        guard text != "full" else {
            self.init(keepingAllIn: defaults)
            return
        }
        var settings: [(key: String, value: String)] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard sides.count == 2, CacheSetting.all.contains(where: { $0.key == sides[0] }) else {
                throw .cacheSpec(
                    "'\(part)' is no setting of a cache; use full, or KEY=VALUE with one of the keys "
                        + CacheSetting.all.map(\.key).joined(separator: ", "))
            }
            settings.append((sides[0], sides[1]))
        }
        try self.init(settings, defaults: defaults, measuresHeads: measuresHeads)
    }

    /// A configuration from settings by their keys, all tokens kept where there are none; an encoding left out is `defaults`.
    ///
    /// Precondition: the keys are those of ``CacheSetting/all``. Throws as ``init(_:defaults:)`` does.
    public init(
        _ settings: [(key: String, value: String)], defaults: CacheEncoding = .float32, measuresHeads: Bool = false
    ) throws(InferenceError) {
        encoding = defaults
        var given: [String: String] = [:]
        for (key, value) in settings {
            guard let setting = CacheSetting.all.first(where: { $0.key == key }) else {
                preconditionFailure("CacheSpec: '\(key)' is no setting")
            }
            guard given.updateValue(value, forKey: key) == nil else {
                let text = settings.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
                throw .cacheSpec("'\(key)' is set twice in '\(text)'")
            }
            guard setting.takes(value) else { throw .cacheSpec(setting.refusal(of: value)) }
            setting.set(&eviction, value)
        }
        if let named = given[CacheSetting.dtype.key].flatMap({ CacheEncoding($0) }) { encoding = named }
        if let residual = given[CacheSetting.residual.key].flatMap({ Int($0) }) {
            do { encoding = try encoding.with(residual: residual) } catch { throw .cacheSpec("\(error)") }
        }
        _ = try (measuresHeads ? ranked(by: [(0, 1)]) : self).retention()
    }

    /// A cache of all tokens in `encoding`.
    public init(keepingAllIn encoding: CacheEncoding) { self.encoding = encoding }

    /// The settings given, by their keys in order, the encoding's name and its residual always among them.
    public var settings: [(key: String, value: String)] {
        let residual = encoding.residual > 0 ? [(CacheSetting.residual.key, "\(encoding.residual)")] : []
        return [(CacheSetting.dtype.key, encoding.name)] + residual + eviction.given.map { ($0.setting.key, $0.text) }
    }

    /// Every setting that was given, the dtype and its residual, as ``init(_:defaults:)`` reads them back, in the order of the keys.
    public var description: String { settings.map { "\($0.key)=\($0.value)" }.joined(separator: ",") }

    /// The eviction in words, its budget behind the policy and then the other settings: snapkv 64, window=16; "full" where all tokens
    /// are kept.
    public var evictionText: String {
        guard let policy = eviction.policy else { return "full" }
        let others = eviction.given.filter { !["evict", EvictionOption.budget.rawValue].contains($0.setting.key) }
        let words = [policy + (eviction.budget.map { " \($0)" } ?? "")] + others.map { "\($0.setting.key)=\($0.text)" }
        return words.joined(separator: ", ")
    }

    /// The eviction policy's name; nil where all tokens are kept.
    public var policy: String? { eviction.policy }

    /// The policy whose scores of heads neither a file nor a measurement has told yet; nil where nothing is missing. Its retention is made after
    /// ``ranked(by:)``.
    public var unmeasuredPolicy: String? {
        guard let policy, EvictionPolicies.namesOfHeads.contains(policy) else { return nil }
        return eviction.scores == nil && eviction.measured == nil ? policy : nil
    }

    /// The same cache of the model that `scores` were measured on.
    public func ranked(by scores: HeadScores) -> CacheSpec {
        var copy = self
        copy.eviction.measured = scores
        return copy
    }

    /// The same cache of a model of `config` before a measurement, for checks and counts that no ranking of heads changes.
    public func ranked(for config: ModelConfig) -> CacheSpec { ranked(by: HeadGates.layers(of: config)) }

    private func ranked(by layers: [(layer: Int, kvHeads: Int)]) -> CacheSpec {
        guard let policy = unmeasuredPolicy, let scores = HeadScores(unmeasured: policy, layers: layers) else { return self }
        return ranked(by: scores)
    }

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
