import ArgumentParser
import Inference

/// The eviction of slots on the command line, shared by every command that keeps a cache.
struct EvictionOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("Evict slots by a policy: \(EvictionPolicies.names.joined(separator: ", ")).", valueName: "name"),
        completion: .list(EvictionPolicies.names))
    var evict: String?

    @Option(help: ArgumentHelp("Slots that a layer keeps: 512, or 25% of the prompt.", valueName: "slots"))
    var kvBudget: EvictionBudget?

    @Option(help: "First tokens that are always kept. Default: 4 for streaming-llm, expected-attention and kvzip, else 0.")
    var kvSinks: Int?

    @Option(
        help: """
            Newest tokens that are always kept. Default: half the budget for h2o, 30% of it for keyformer, 10 for scissorhands, 1 \
            for tova, else 0.
            """)
    var kvRecent: Int?

    @Option(
        help: """
            snapkv, pyramidkv, adakv: last tokens of the prompt, which score the others and are kept; scissorhands: last queries \
            that count. Default: 32; 400.
            """)
    var kvWindow: Int?

    @Option(
        help: """
            snapkv, pyramidkv, adakv: how scores are pooled, an average over an odd width or such as max7. Default: 5; max7 for \
            adakv.
            """)
    var kvPool: ScorePool?

    @Option(
        help: "Tokens between decisions behind the prompt. Default: \(EvictionRetention.interval), the budget for scissorhands.")
    var kvInterval: Int?

    @Option(help: "expected-attention: positions behind the prompt that queries are expected at. Default: 512.")
    var kvFuture: Int?

    @Option(
        help: """
            How the budget is divided among layers and heads: ada and ada-authors among the heads of each layer, global among all \
            heads. Default: pyramid for pyramidkv, ada for adakv, global for kvzip, else uniform.
            """)
    var kvAllocate: BudgetAllocation?

    @Option(
        help: ArgumentHelp(
            "Merge evicted slots' values into kept ones: \(SlotMerges.names.joined(separator: ", ")).", valueName: "name"),
        completion: .list(SlotMerges.names))
    var kvMerge: String?

    @Option(help: "random, keyformer, --kv-merge: seed of the draws.")
    var kvSeed: UInt64?

    private var settings: EvictionSettings {
        var settings = EvictionSettings()
        (settings.policy, settings.budget, settings.sinks, settings.recent) = (evict, kvBudget, kvSinks, kvRecent)
        (settings.window, settings.pool, settings.interval, settings.future) = (kvWindow, kvPool, kvInterval, kvFuture)
        (settings.allocation, settings.merge, settings.seed) = (kvAllocate, kvMerge, kvSeed)
        return settings
    }

    func validate() throws { _ = try retention() }

    /// The retention asked for; full without a policy.
    func retention() throws -> any Retention {
        do { return try settings.retention() } catch { throw ValidationError("\(error)") }
    }

    /// The policy and its budget in words; nil without a policy.
    var text: String? {
        evict.map { name in "\(name), \(kvBudget?.text ?? "") slots" + (kvMerge.map { ", merged by \($0)" } ?? "") }
    }
}

extension EvictionBudget: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

extension ScorePool: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

extension BudgetAllocation: ExpressibleByArgument {}
