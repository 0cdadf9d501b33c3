import Files
import Models
import TestSupport
import Testing

@testable import Inference

extension TokenClasses {
    /// Kinds in a vocabulary of few tokens.
    static let tiny = TokenClasses(isSpecial: { $0 % 29 == 0 }, isPunctuation: { $0 % 7 == 3 })
}

extension EvictionSettings {
    /// The policy with a budget, or with a recovery at which something is evicted.
    init(_ policy: any EvictionPolicy, budget: EvictionBudget?) {
        self.init()
        self.policy = policy.name
        if policy is FastGen { recovery = AttentionShare("60%") } else { self.budget = budget }
    }

    /// Names a file of scores of all heads of a model of `config`, in `scratch`, and few slots for the heads that are not whole.
    mutating func rank(_ policy: any HeadPolicy, _ config: ModelConfig, in scratch: ScratchDirectory, model: String? = nil) throws
    {
        let geometry = config.kvGeometry(.float32)
        let layers = geometry.indices.filter { geometry[$0].window == nil && geometry[$0].source == nil }
        var scores: [String: [[Double]]] = [:]
        for (index, name) in policy.scoreNames.enumerated() {
            scores[name] = layers.map { layer in
                (0..<geometry[layer].kvHeads).map { Double((layer * 7 + $0 * (3 + index) + 2) % 10) / 10 }
            }
        }
        let found = HeadScores(method: policy.name, model: model, layers: Array(layers), scores: scores)
        let heads = geometry.map { "\($0.window == nil && $0.source == nil ? $0.kvHeads : 0)" }
        let file = policy.name + heads.joined(separator: "-") + ".json"
        try scratch.write(Array(CanonicalJSON.text(of: found).utf8), to: file)
        (sinks, recent, self.scores) = (2, 4, scratch[file])
    }
}
