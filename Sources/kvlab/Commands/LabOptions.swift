import ArgumentParser
import Conversion
import Experiments
import Foundation

/// The choices that describe a lab over a model in place of a recipe.
struct LabOptions: ParsableArguments {
    @Option(help: "KV heads of the children, for example 2,1; 'mla' gets the cache bytes of each.")
    var kvHeads: Integers?

    @Option(
        help:
            "How the children are made, for example learned,mla: \((ConversionMethods.merges.map(\.name) + ["mla"]).joined(separator: ", ")). Default: learned."
    )
    var methods: Names?

    @Option(help: "Tokens of each uptraining: 300k, 2M, 500000. Default: 1M.")
    var uptrainTokens: TokenCount?

    @Option(
        parsing: .upToNextOption, help: "Texts to calibrate, train and score on; their last part is held out.",
        completion: .file())
    var text: [String] = []

    @OptionGroup(title: "The texts' format") var textFormat: TextFormatOptions

    @Option(
        help:
            "Minutes that the lab is to take: with fewer tokens where it would take longer by the time of a training step, which is measured."
    )
    var budgetMinutes: Double?

    @Option(help: "Peak learning rate of the uptrainings. Default: the parent's, or 5e-4.")
    var learningRate: Double?

    @Option(help: "Sequences in a step. Default: the parent's, or 8.")
    var batch: Int?

    @Option(help: "Tokens in a sequence. Default: the parent's, or 512.")
    var seq: Int?

    @Option(
        help: "Share of the loss that is learnt from the parent's predictions, 0 for the text alone. Default: 0.9.")
    var distill: Double?

    /// The options given.
    private var given: [String] {
        [
            ("--kv-heads", kvHeads != nil), ("--methods", methods != nil), ("--uptrain-tokens", uptrainTokens != nil),
            ("--text", !text.isEmpty), ("--budget-minutes", budgetMinutes != nil), ("--learning-rate", learningRate != nil),
            ("--batch", batch != nil), ("--seq", seq != nil), ("--distill", distill != nil),
        ].filter(\.1).map(\.0) + (textFormat.given.map { [$0] } ?? [])
    }

    func validate() throws {
        if let budgetMinutes, !(budgetMinutes > 0 && budgetMinutes <= 1e6) {
            throw ValidationError("--budget-minutes is \(budgetMinutes), expected more than 0 and at most 1000000")
        }
        try checkRange("--batch", batch)
        try checkRange("--seq", seq)
        if let distill, !(0...1).contains(distill) { throw ValidationError("--distill is \(distill), expected 0 to 1") }
    }

    /// The lab that the options describe where `path` is a model; nil where it is a recipe.
    func lab(over path: String) throws -> CheckpointLab? {
        guard CheckpointLab.isModel(path) else {
            if let option = given.first {
                throw ValidationError("\(option) describes a lab over a model; \(path) is a recipe, which says that itself")
            }
            return nil
        }
        let missing = [("--kv-heads", kvHeads == nil), ("--text", text.isEmpty)].filter(\.1).map(\.0)
        guard missing.isEmpty, let kvHeads else {
            let options = missing.joined(separator: " and ")
            throw ValidationError("\(path) is a model, not a recipe: say with \(options) what to do with it")
        }
        var lab = CheckpointLab(
            checkpoint: path, kvHeads: kvHeads.values,
            methods: methods?.values ?? [ConversionMethods.defaultName(calibrated: true)],
            texts: text.map(textFormat.source), uptrainTokens: uptrainTokens?.tokens ?? 1_000_000)
        (lab.minutes, lab.learningRate, lab.batch, lab.seq) = (budgetMinutes, learningRate, batch, seq)
        if let distill { lab.distillWeight = distill }
        return lab
    }
}

/// Integers from 1 on, joined by commas.
struct Integers: ExpressibleByArgument {
    var values: [Int]

    init?(argument: String) {
        let values = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
        guard values.allSatisfy({ ($0 ?? 0) > 0 }), Set(values).count == values.count else { return nil }
        self.values = values.compactMap { $0 }
    }
}

/// Names joined by commas.
struct Names: ExpressibleByArgument {
    var values: [String]

    init?(argument: String) {
        values = argument.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        guard !values.contains(""), Set(values).count == values.count else { return nil }
    }
}

/// A number of tokens on the command line: 300k, 2M, 500000.
struct TokenCount: ExpressibleByArgument {
    var tokens: Int

    init?(argument: String) {
        let (unit, size) = [("k", 1000.0), ("M", 1e6), ("G", 1e9)].first { argument.hasSuffix($0.0) } ?? ("", 1)
        guard let count = Double(argument.dropLast(unit.count)), count > 0, count * size <= 1e15, count * size >= 1,
            (count * size).rounded() == count * size
        else { return nil }
        tokens = Int(count * size)
    }
}
