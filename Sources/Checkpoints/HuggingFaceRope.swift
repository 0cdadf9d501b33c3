import JSON
import Models

extension HuggingFaceConfig {
    /// The RoPE settings and their key: `rope_scaling`, or `rope_parameters` as transformers 5 writes it.
    ///
    /// transformers prefers the former, so the two have to agree.
    func ropeSettings() throws(ImportError) -> (key: String, value: JSONValue)? {
        var found: (key: String, value: JSONValue)?
        for key in ["rope_scaling", "rope_parameters"] {
            guard let value = json[key] else { continue }
            guard let members = value.members else { throw wrong(key, value, "an object or null") }
            if members.isEmpty { continue }
            if let found, found.value != value {
                throw .invalid(
                    path: path, reason: "'rope_scaling' and 'rope_parameters' say different things; leave one of them out")
            }
            found = found ?? (key, value)
        }
        return found
    }

    /// RoPE's base: from ``ropeSettings()``, else from the family's own key.
    func ropeTheta(_ ownKey: String = "rope_theta") throws(ImportError) -> Double {
        let own = json[ownKey] == nil ? nil : try number(ownKey, default: 0)
        guard let settings = try ropeSettings(), let value = settings.value["rope_theta"] else { return own ?? 10_000 }
        guard let theta = value.double else { throw wrong(settings.key + ".rope_theta", value, "a number") }
        if let own, own != theta {
            throw .invalid(path: path, reason: "'\(ownKey)' is \(own), but '\(settings.key).rope_theta' is \(theta)")
        }
        return theta
    }

    private static let ropeKeys = [
        "rope_type", "type", "rope_theta", "partial_rotary_factor", "factor", "original_max_position_embeddings",
        "low_freq_factor",
        "high_freq_factor", "beta_fast", "beta_slow", "attention_factor", "mscale", "mscale_all_dim", "truncate",
    ]

    /// Sets the scaling that ``ropeSettings()`` ask for.
    func scaleRope(_ config: inout ModelConfig) throws(ImportError) {
        guard let (key, value) = try ropeSettings() else { return }
        func refuse(_ name: String, _ supported: String) -> ImportError {
            unsupported(key + "." + name, value[name], supported)
        }
        let names = (value.members ?? []).map(\.name)
        if let other = names.filter({ !Self.ropeKeys.contains($0) && value[$0] != nil }).min() {
            throw refuse(other, "the settings of linear, llama3 and yarn")
        }
        if config.rotaryWidth == nil, let factor = value["partial_rotary_factor"], factor.double != 1 {
            throw refuse("partial_rotary_factor", "1")
        }
        let name = value["rope_type"] == nil ? "type" : "rope_type"
        guard let type = value[name], type.string != "default" else { return }
        if type.string == "dynamic" {
            // Up to the original length RoPE is unscaled; beyond it, cached keys would be rotated otherwise than new ones.
            let original = value["original_max_position_embeddings"]?.int ?? config.maxSequence
            config.maxSequence = min(config.maxSequence, max(original, 1))
            return
        }
        guard let kind = type.string.flatMap({ RopeScaling.Kind(rawValue: $0) }) else {
            throw refuse(name, "default, linear, llama3, yarn, and dynamic up to the original length")
        }
        config.ropeScaling = try scaling(kind, value, key, maxSequence: config.maxSequence)
    }

    private func scaling(
        _ kind: RopeScaling.Kind, _ value: JSONValue, _ key: String, maxSequence: Int
    ) throws(ImportError) -> RopeScaling {
        func number(_ name: String) throws(ImportError) -> Double? {
            guard let found = value[name] else { return nil }
            guard let number = found.double else { throw wrong(key + "." + name, found, "a number") }
            return number
        }
        var original: Int?
        if kind != .linear {
            original = (value["original_max_position_embeddings"] ?? json["original_max_position_embeddings"])?.int ?? maxSequence
        }
        guard let factor = try number("factor") ?? original.map({ Double(maxSequence) / Double(max($0, 1)) }) else {
            throw .missingKey(path: path, key: key + ".factor")
        }
        var scaling = RopeScaling(kind: kind, factor: factor, originalMaxSequence: original)
        switch kind {
        case .linear: break
        case .llama3:
            scaling.lowFrequencyFactor = try number("low_freq_factor")
            scaling.highFrequencyFactor = try number("high_freq_factor")
        case .yarn:
            scaling.betaFast = try number("beta_fast")
            scaling.betaSlow = try number("beta_slow")
            scaling.truncates = value["truncate"]?.bool
            scaling.attentionFactor = try number("attention_factor")
            if scaling.attentionFactor == nil, let mscale = try number("mscale"), let all = try number("mscale_all_dim"),
                mscale != 0, all != 0
            {
                func amplitude(_ scale: Double) -> Double {
                    // 0.1 · scale · ln(factor) + 1
                    1 + scale * (RopeScaling(kind: .yarn, factor: factor).amplitude - 1)
                }
                scaling.attentionFactor = amplitude(mscale) / amplitude(all)
            }
        }
        return scaling
    }
}

extension RopeScaling? {
    /// The value of `rope_scaling`.
    var json: String {
        guard let scaling = self else { return "null" }
        var members = [("rope_type", "\"\(scaling.kind.rawValue)\""), ("factor", "\(scaling.factor)")]
        if let original = scaling.originalMaxSequence { members.append(("original_max_position_embeddings", "\(original)")) }
        for (key, value) in [
            ("low_freq_factor", scaling.lowFrequencyFactor), ("high_freq_factor", scaling.highFrequencyFactor),
            ("beta_fast", scaling.betaFast), ("beta_slow", scaling.betaSlow), ("attention_factor", scaling.attentionFactor),
        ] { if let value { members.append((key, "\(value)")) } }
        if let truncates = scaling.truncates { members.append(("truncate", "\(truncates)")) }
        return "{" + members.map { "\"\($0.0)\": \($0.1)" }.joined(separator: ", ") + "}"
    }
}
