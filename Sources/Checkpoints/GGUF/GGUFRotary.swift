import Foundation
import Models

/// The GGUF form of RoPE scaling: linear and yarn as keys, llama3 as a tensor of each plane's frequency divisor.
/// Source: llama.cpp, `convert_hf_to_gguf.py` and `llama-model.cpp`.
enum GGUFRotary {
    /// The tensor of divisors, [headDim / 2].
    static let divisorsName = "rope_freqs.weight"

    /// The keys of `scaling`, without the architecture's prefix.
    static func keys(_ scaling: RopeScaling) throws(ImportError) -> [GGUFKey] {
        func refuse(_ what: String) -> ImportError {
            .notExpressible(in: "GGUF", reason: "it has \(what), which GGUF has no key for")
        }
        switch scaling.kind {
        case .llama3: return []
        case .linear: return [("rope.scaling.type", .string("linear")), ("rope.scaling.factor", .float(scaling.factor))]
        case .yarn:
            guard scaling.truncates ?? true else { throw refuse("yarn without whole planes ('truncate' is false)") }
            var keys: [GGUFKey] = [
                ("rope.scaling.type", .string("yarn")), ("rope.scaling.factor", .float(scaling.factor)),
                ("rope.scaling.original_context_length", .uint32(scaling.originalMaxSequence ?? 1)),
            ]
            var plain = scaling
            plain.attentionFactor = nil
            // GGUF has a factor on yarn's own amplitude.
            if abs(scaling.amplitude - plain.amplitude) > 1e-6 {
                keys.append(("rope.scaling.yarn_attn_factor", .float(scaling.amplitude / plain.amplitude)))
            }
            if let fast = scaling.betaFast, fast != 32 { keys.append(("rope.scaling.yarn_beta_fast", .float(fast))) }
            if let slow = scaling.betaSlow, slow != 1 { keys.append(("rope.scaling.yarn_beta_slow", .float(slow))) }
            return keys
        }
    }

    /// The frequency divisor of each plane for llama3 scaling; nil for scalings written as keys.
    static func divisors(_ config: ModelConfig, headDim: Int) -> [Float]? {
        guard config.ropeScaling?.kind == .llama3 else { return nil }
        return zip(plain(config.ropeTheta, headDim), config.ropeFrequencies(headDim: headDim)).map { Float($0 / Double($1)) }
    }

    private static func plain(_ theta: Double, _ headDim: Int) -> [Double] {
        (0..<headDim / 2).map { Double(1 / powf(Float(theta), Float(2 * $0) / Float(headDim))) }
    }

    /// The scaling of a file's keys and tensor; nil for none.
    static func scaling(
        _ metadata: GGUFMetadata, architecture: String, divisors: [Float]?, theta: Double, headDim: Int, maxSequence: Int
    ) throws(ImportError) -> RopeScaling? {
        func key(_ name: String) -> String { architecture + ".rope.scaling." + name }
        let factor = try metadata.number(key("factor"), default: 0)
        // Without a type, llama.cpp applies a factor as linear scaling.
        let type = metadata.has(key("type")) ? try metadata.string(key("type")) : factor > 0 && factor != 1 ? "linear" : "none"
        if let divisors {
            guard type == "none" else {
                throw .unsupported(
                    path: metadata.path, key: key("type"), found: "'\(type)' beside \(divisorsName)", supported: "one of the two")
            }
            guard divisors.contains(where: { $0 != 1 }) else { return nil }
            guard let found = llama3(divisors.map(Double.init), plain(theta, headDim), theta, headDim) else {
                throw .tensor(
                    path: metadata.path, name: divisorsName, reason: "is not what llama3's scaling gives for any of its settings")
            }
            return found
        }
        switch type {
        case "none": return nil
        case "linear", "yarn":
            guard factor > 0, factor.isFinite else {
                throw .wrongValue(path: metadata.path, key: key("factor"), found: "\(factor)", expected: "a number above 0")
            }
            guard type == "yarn" else { return factor == 1 ? nil : RopeScaling(kind: .linear, factor: factor) }
            let original = try metadata.positive(key("original_context_length"), default: maxSequence)
            var scaling = RopeScaling(kind: .yarn, factor: factor, originalMaxSequence: original)
            let share = try metadata.number(key("yarn_attn_factor"), default: 1) * metadata.number(key("attn_factor"), default: 1)
            if share != 1 { scaling.attentionFactor = scaling.amplitude * share }
            if metadata.has(key("yarn_beta_fast")) { scaling.betaFast = try metadata.number(key("yarn_beta_fast")) }
            if metadata.has(key("yarn_beta_slow")) { scaling.betaSlow = try metadata.number(key("yarn_beta_slow")) }
            return scaling
        default:
            throw .unsupported(path: metadata.path, key: key("type"), found: "'\(type)'", supported: "none, linear, yarn")
        }
    }

    /// The settings of llama3's scaling with these divisors; nil if none fit.
    ///
    /// Between the kept frequencies and the ones divided by the factor, the kept share s, with 1/divisor = (1 − s)/factor +
    /// s, is linear in the frequency: original / (2π · (high − low)) · frequency − low / (high − low). Only ratios of the
    /// three are determined, so `low_freq_factor` is 1, as in all known models.
    private static func llama3(_ divisors: [Double], _ plain: [Double], _ theta: Double, _ headDim: Int) -> RopeScaling? {
        guard divisors.count == plain.count, divisors.allSatisfy({ $0.isFinite && $0 > 1 - 1e-6 }), let factor = divisors.max()
        else {
            return nil
        }
        let turns = plain.map { $0 / (2 * .pi) }
        let shares = divisors.map { (1 / $0 - 1 / factor) / (1 - 1 / factor) }
        let between = shares.indices.filter { shares[$0] > 1e-6 && shares[$0] < 1 - 1e-6 }
        let kept = turns.indices.filter { shares[$0] >= 1 - 1e-6 }.map { turns[$0] }.min() ?? turns[0] * 2
        let divided = turns.indices.filter { shares[$0] <= 1e-6 }.map { turns[$0] }.max() ?? turns[turns.count - 1] / 2
        // The zero of the line and its one, in turns per position.
        var (zero, one): (Double, Double)
        if let first = between.first, let last = between.last, first != last {
            let slope = (shares[first] - shares[last]) / (turns[first] - turns[last])
            zero = turns[last] - shares[last] / slope
            one = turns[first] + (1 - shares[first]) / slope
        } else if let only = between.first {
            (zero, one) = (divided, divided + (turns[only] - divided) / shares[only])
            if one > kept { (zero, one) = (kept - (kept - turns[only]) / (1 - shares[only]), kept) }
        } else {
            let middle = (divided * kept).squareRoot()
            (zero, one) = (middle, middle * 1.0001)
        }
        guard zero > 0, one > zero else { return nil }
        // Values close to whole numbers are meant as such.
        func rounded(_ value: Double) -> Double { abs(value - value.rounded()) < 1e-3 * value ? value.rounded() : value }
        let nearest = (1 / zero).rounded()
        for original in [nearest, nearest + 1, nearest - 1] where original >= 1 {
            for low in [1.0, original * zero] {
                for high in [rounded(original * one), original * one] {
                    var scaling = RopeScaling(kind: .llama3, factor: rounded(factor), originalMaxSequence: Int(original))
                    (scaling.lowFrequencyFactor, scaling.highFrequencyFactor) = (low, high)
                    let found = scaling.frequencies(headDim: headDim, theta: Float(theta))
                    let fits = found.indices.allSatisfy { plane in
                        let expected = plain[plane] / divisors[plane]
                        return abs(Double(found[plane]) - expected) < 2e-6 * expected
                    }
                    if fits { return scaling }
                }
            }
        }
        return nil
    }
}
