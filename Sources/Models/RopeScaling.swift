import Glibc
import Kernels

/// RoPE scaling for sequences longer than those of pretraining; JSON keys are Hugging Face's.
///
/// Every kind gives the same frequencies at every length, so that cached and uncached logits agree. Source: transformers,
/// `modeling_rope_utils.py`, whose Float32 steps are followed.
public struct RopeScaling: Codable, Sendable, Hashable {
    /// The kinds of scaling.
    public enum Kind: String, Codable, Sendable, CaseIterable {
        /// Frequencies divided by the factor (Chen et al. 2023, arXiv 2306.15595).
        case linear
        /// Low frequencies divided, high ones kept, intermediate ones blended (Llama 3.1).
        case llama3
        /// Blended by the number of turns, attention scaled (Peng et al. 2023, arXiv 2309.00071).
        case yarn
    }

    /// The kind of scaling.
    public var kind: Kind
    /// The factor by which sequences may become longer.
    public var factor: Double
    /// The longest sequence of pretraining: llama3 and yarn.
    public var originalMaxSequence: Int?
    /// llama3: wavelengths above original / this are divided.
    public var lowFrequencyFactor: Double?
    /// llama3: wavelengths below original / this are kept.
    public var highFrequencyFactor: Double?
    /// yarn: turns over the original length above which frequencies are kept; 32.
    public var betaFast: Double?
    /// yarn: turns over the original length below which frequencies are divided; 1.
    public var betaSlow: Double?
    /// yarn: the factor on cosines and sines; 0.1·ln(factor) + 1.
    public var attentionFactor: Double?
    /// yarn: whether the blended range is widened to whole planes; true.
    public var truncates: Bool?

    /// Linear scaling, or another kind whose settings are set later.
    public init(kind: Kind, factor: Double, originalMaxSequence: Int? = nil) {
        self.kind = kind
        self.factor = factor
        self.originalMaxSequence = originalMaxSequence
    }

    enum CodingKeys: String, CodingKey {
        case kind = "rope_type"
        case factor
        case originalMaxSequence = "original_max_position_embeddings"
        case lowFrequencyFactor = "low_freq_factor"
        case highFrequencyFactor = "high_freq_factor"
        case betaFast = "beta_fast"
        case betaSlow = "beta_slow"
        case attentionFactor = "attention_factor"
        case truncates = "truncate"
    }

    /// The factor on cosines and sines.
    public var amplitude: Double {
        guard kind == .yarn else { return 1 }
        return attentionFactor ?? (factor <= 1 ? 1 : 0.1 * log(factor) + 1)
    }

    /// Throws the first setting that is missing or impossible.
    func validate() throws(ModelConfigError) {
        func positive(_ key: String, _ value: Double?) throws(ModelConfigError) {
            guard let value, value > 0, value.isFinite else { throw .notFinite(key: "rope_scaling." + key, value: value ?? .nan) }
        }
        try positive("factor", factor)
        if kind != .linear { try positive("original_max_position_embeddings", originalMaxSequence.map(Double.init)) }
        if kind == .llama3 {
            try positive("low_freq_factor", lowFrequencyFactor)
            try positive("high_freq_factor", highFrequencyFactor)
        }
        for (key, value) in [("beta_fast", betaFast), ("beta_slow", betaSlow), ("attention_factor", attentionFactor)]
        where value != nil {
            try positive(key, value)
        }
    }

    /// Radians a position for each plane of a head.
    public func frequencies(headDim: Int, theta: Float) -> [Float] {
        let powers = (0..<headDim / 2).map { powf(theta, Float(2 * $0) / Float(headDim)) }
        let plain = powers.map { 1 / $0 }
        let factor = Float(factor)
        switch kind {
        case .linear: return plain.map { $0 / factor }
        case .llama3: return plain.map { llama3($0, factor) }
        case .yarn:
            let (low, high) = rampRange(headDim: headDim, theta: Double(theta))
            return powers.enumerated().map { plane, power in
                let ramp = min(max((Float(plane) - Float(low)) / Float(high - low), 0), 1)
                let kept = 1 - ramp
                return 1 / (factor * power) * (1 - kept) + 1 / power * kept
            }
        }
    }

    private func llama3(_ frequency: Float, _ factor: Float) -> Float {
        let original = Double(originalMaxSequence ?? 1)
        let (low, high) = (lowFrequencyFactor ?? 1, highFrequencyFactor ?? 4)
        let wavelength = Float(2 * Double.pi) / frequency
        if wavelength > Float(original / low) { return frequency / factor }
        if wavelength < Float(original / high) { return frequency }
        let smooth = (Float(original) / wavelength - Float(low)) / Float(high - low)
        return (1 - smooth) * frequency / factor + smooth * frequency
    }

    /// The planes between which yarn blends from kept to divided frequencies.
    private func rampRange(headDim: Int, theta: Double) -> (Double, Double) {
        func plane(_ turns: Double) -> Double {
            Double(headDim) * log(Double(originalMaxSequence ?? 1) / (turns * 2 * .pi)) / (2 * log(theta))
        }
        var (low, high) = (plane(betaFast ?? 32), plane(betaSlow ?? 1))
        if truncates ?? true { (low, high) = (floor(low), ceil(high)) }
        low = max(low, 0)
        high = min(high, Double(headDim - 1))
        if low == high { high += 0.001 }
        return (low, high)
    }
}

extension ModelConfig {
    /// Radians a position for each plane of heads of `headDim` in this model.
    public func ropeFrequencies(headDim: Int) -> [Float] {
        let theta = Float(ropeTheta)
        return ropeScaling?.frequencies(headDim: headDim, theta: theta)
            ?? (0..<headDim / 2).map { 1 / powf(theta, Float(2 * $0) / Float(headDim)) }
    }

    /// The rotary table for heads of `headDim` in this model.
    public func rotaryTable(headDim: Int) -> RotaryTable {
        RotaryTable(
            positions: maxSequence, frequencies: ropeFrequencies(headDim: headDim),
            amplitude: Float(ropeScaling?.amplitude ?? 1))
    }
}
