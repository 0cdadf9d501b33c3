import Evaluation
import Inference

/// One trained model of a sweep, scored.
public struct SweepPoint: Sendable, Codable, Hashable {
    /// The kind of a model in its sweep.
    public enum Kind: String, Sendable, Codable {
        /// The parent as it was trained or given.
        case parent
        /// The parent continued for the children's tokens.
        case continued
        /// A child's architecture trained from scratch on the parent's and the child's tokens together.
        case scratch
        /// A parent converted and uptrained.
        case child
    }

    /// The model's kind.
    public var kind: Kind
    /// The name of its parent, or its own, where several are given.
    public var parent: String?
    /// Its name where the recipe lists children one by one.
    public var child: String?
    /// MHA, GQA-2, MQA.
    public var attention: String
    /// A child's architecture: kv2; nil for the parent's own.
    public var architecture: String?
    /// KV heads of a child; nil for those of the parent.
    public var kvHeads: Int?
    /// The method of its conversion; nil where it was not converted.
    public var method: String?
    /// The compressed cache that it was trained through, in words; nil for whole keys and values.
    public var through: String?
    /// Share of the parent's training; 0 for the parent, and where the length was given in steps or tokens.
    public var alpha: Double
    /// Tokens planned of the uptraining that it is, or that it is compared with, which ``tokens`` may end before; 0 for the parent.
    public var budget: Int
    /// The parent's seed.
    public var seed: Int
    /// The uptraining's own seed, where the sweep has such.
    public var uptrainSeed: Int?
    /// Cache bytes a token takes by the model's geometry.
    public var kvBytesPerToken: Int
    /// The cache of a sequence as it was found in the engine's pages.
    public var cache: MeasuredCache?
    /// Parameters.
    public var parameters: Int
    /// Tokens trained on after the conversion, from scratch or, for the parent, in all.
    public var tokens: Int
    /// Bits per byte after conversion, before any training.
    public var bitsPerByteBefore: Double?
    /// The same minus the parent's of the seed.
    public var beforeDifference: Double?
    /// That difference's standard error, paired over windows.
    public var beforeError: Double?
    /// Bits per byte.
    public var bitsPerByte: Double
    /// The same minus the parent's of the seed.
    public var difference: Double?
    /// That difference's standard error, paired over windows.
    public var standardError: Double?
    /// Bits per byte minus those of the parent continued for the same tokens.
    public var toContinued: Double?
    /// That difference's standard error, paired over windows.
    public var toContinuedError: Double?
    /// KL divergence from the parent's predictions, nats per token.
    public var klDivergence: Double?
    /// Seconds of training.
    public var seconds: Double?
    /// The run's folder.
    public var folder: String
    /// The model's content hash.
    public var model: String

    /// Cache bytes a token: measured, else by the geometry.
    public var cacheBytesPerToken: Double { cache?.bytesPerToken ?? Double(kvBytesPerToken) }

    /// Cache bytes of a token's keys and values with their scales: measured, else by the geometry.
    public var logicalBytesPerToken: Double {
        cache.map { Double($0.logicalBytes) / Double(max($0.tokens, 1)) } ?? Double(kvBytesPerToken)
    }

    /// Tokens trained on for each parameter.
    public var tokensPerParameter: Double { Double(tokens) / Double(max(parameters, 1)) }

    /// Its budget in words: α 0.05, or 300,000 tokens; empty for the parent.
    var budgetName: String { alpha > 0 ? "α \(alpha)" : budget > 0 ? "\(groupedDigits(budget)) tokens" : "" }

    /// The listed child's name; else the architecture and method that models of one budget differ in: "kv2 learned".
    public var name: String {
        switch kind {
        case .parent, .continued: family
        case .scratch: named("\(architecture ?? "") \(role)")
        case .child: named(child == nil ? "\(architecture ?? "") \(role)" : role)
        }
    }

    /// The models of one colour: the method, the control or the listed child, of one parent.
    var family: String { named(role) }

    private var role: String {
        switch kind {
        case .parent: "parent"
        case .continued: "parent continued"
        case .scratch: "from scratch"
        case .child: (child ?? method ?? "") + (through.map { " through \($0)" } ?? "")
        }
    }

    private func named(_ text: String) -> String { parent.map { "\($0) \(text)" } ?? text }
}

extension SweepPoint {
    /// The points of a sweep's scored trainings, in its order.
    static func all(
        _ steps: [SweepStep], made: [Int: SweepRecipes.Made], scores: [Int: SweepScore], store: String, isListed: Bool
    ) -> [SweepPoint] {
        steps.indices.compactMap { index in
            let step = steps[index]
            guard let kind = Kind(rawValue: step.kind.rawValue), let output = made[index], let score = scores[index] else {
                return nil
            }
            let result = score.result
            var point = SweepPoint(
                kind: kind, parent: step.parentName, child: isListed ? step.child?.name : nil, attention: score.attention,
                architecture: step.architecture?.name,
                kvHeads: step.architecture?.kvHeads,
                method: step.child?.conversion.methodName, through: step.through?.text, alpha: step.length?.alpha ?? 0,
                budget: step.budget, seed: step.seed, uptrainSeed: step.uptrainSeed,
                kvBytesPerToken: score.kvBytesPerToken, cache: score.cache, parameters: score.parameters,
                tokens: output.record.tokens, bitsPerByte: result.bitsPerByte, klDivergence: score.klDivergence,
                seconds: output.record.seconds,
                folder: output.folder.hasPrefix(store + "/") ? String(output.folder.dropFirst(store.count + 1)) : output.folder,
                model: output.record.output)
            let before = step.kind == .child && step.through == nil ? step.source.flatMap { scores[$0]?.result } : nil
            point.bitsPerByteBefore = before?.bitsPerByte
            func pair(_ reference: SweepScore?, _ other: PerplexityResult?) -> (Double?, Double?) {
                guard let reference, let other else { return (nil, nil) }
                let paired = PairedDifference(reference: reference.result, other: other)
                return (paired.bitsPerByte, paired.standardError)
            }
            let parent = step.parent.flatMap { scores[$0] }
            (point.beforeDifference, point.beforeError) = pair(parent, before)
            (point.difference, point.standardError) = pair(parent, result)
            let control = steps.firstIndex {
                $0.kind == .continued && $0.parent == step.parent && $0.length == step.length
                    && (step.kind == .scratch || $0.uptrainSeed == step.uptrainSeed)
            }
            if step.kind != .continued, step.kind != .parent {
                (point.toContinued, point.toContinuedError) = pair(control.flatMap { scores[$0] }, result)
            }
            return point
        }
    }
}

extension CacheSpec {
    /// Eviction and encoding in words: h2o 64 int8; the encoding alone where all tokens are kept.
    fileprivate var text: String { evicts ? "\(evictionText) \(encoding.name)" : encoding.name }
}
