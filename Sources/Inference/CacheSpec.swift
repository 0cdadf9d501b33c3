import Kernels

/// A cache's configuration as one word: `full`, or settings with commas between, such as `dtype=bf16`.
///
/// The keys are listed in one table beside the type, their values where they are defined: a new encoding can be named without a change
/// here.
public struct CacheSpec: Sendable, Hashable, CustomStringConvertible {
    /// The encoding of keys and values.
    public var encoding: KVEncoding

    /// A setting: its key, and how a value of it changes a configuration.
    private struct Key: Sendable {
        var name: String
        var set: @Sendable (inout CacheSpec, String) throws(InferenceError) -> Void
    }

    private static let keys = [
        Key(name: "dtype") { (spec, value) throws(InferenceError) in
            guard let encoding = KVEncoding(name: value) else {
                throw .cacheSpec("'\(value)' is no dtype; the dtypes are \(KVEncoding.all.map(\.name).joined(separator: ", "))")
            }
            spec.encoding = encoding
        }
    ]

    /// Reads a configuration; settings left out are as in `defaults`. Throws ``InferenceError/cacheSpec(_:)``.
    public init(_ text: String, defaults: KVEncoding = .float32) throws(InferenceError) {
        encoding = defaults
        // All tokens are kept unless a setting says otherwise.
        guard text != "full" else { return }
        var seen: Set<String> = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard sides.count == 2, let key = Self.keys.first(where: { $0.name == sides[0] }) else {
                throw .cacheSpec(
                    "'\(part)' is no setting of a cache; use full, or KEY=VALUE with one of the keys "
                        + Self.keys.map(\.name).joined(separator: ", "))
            }
            guard seen.insert(key.name).inserted else { throw .cacheSpec("'\(key.name)' is set twice in '\(text)'") }
            try key.set(&self, String(sides[1]))
        }
    }

    /// Every setting, as ``init(_:defaults:)`` reads it back.
    public var description: String { "dtype=\(encoding.name)" }

    /// Configures an engine's cache.
    public func apply(to options: inout EngineOptions) { options.encoding = encoding }
}
