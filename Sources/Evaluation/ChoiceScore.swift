import Autograd
import Glibc
import Models
import Text

/// A model's figures on a task.
public struct ChoiceScore: Sendable, Equatable {
    /// Items scored.
    public var items: Int
    /// The share of items whose right choice has the highest sum of log-probabilities; ties count as wrong.
    public var accuracy: Double
    /// The same with sums divided by each choice's bytes.
    public var normalizedAccuracy: Double
    /// exp of the mean over items of the right choice's negative log-likelihood.
    public var perplexity: Double
    /// The share of items whose right choice is what greedy decoding gives.
    public var greedyAccuracy: Double
    /// The standard error of `accuracy`; of `greedyAccuracy` where there is but one choice.
    public var standardError: Double

    /// Scores `items`, each choice read after the context and, where there is one, `bosID`.
    ///
    /// Context and choice are encoded together, and the choice's tokens are those after as many as the context alone
    /// has, as in lm-evaluation-harness. Contexts too long for the model lose their start.
    public static func evaluate(
        _ model: DecoderLM, tokenizer: any Tokenizer, bosID: Int32?, _ items: [ChoiceItem],
        progress: (Int) throws -> Void = { _ in }
    ) throws -> ChoiceScore {
        var right = 0
        var rightNormalized = 0
        var greedy = 0
        var nll = 0.0
        for (number, item) in items.enumerated() {
            var sums: [Double] = []
            for (index, choice) in item.choices.enumerated() {
                let part = try score(model, tokenizer, bosID, item.context, choice, number)
                sums.append(part.sum)
                if index == item.answer {
                    nll -= part.sum
                    if part.isGreedy { greedy += 1 }
                }
            }
            let lengths = item.choices.map { Double(max($0.utf8.count - ($0.hasPrefix(" ") ? 1 : 0), 1)) }
            let normalized = zip(sums, lengths).map { $0 / $1 }
            if isBest(sums, item.answer) { right += 1 }
            if isBest(normalized, item.answer) { rightNormalized += 1 }
            try progress(number + 1)
        }
        let count = Double(max(items.count, 1))
        let accuracy = Double(right) / count
        let greedyAccuracy = Double(greedy) / count
        let share = items.allSatisfy { $0.choices.count == 1 } ? greedyAccuracy : accuracy
        return ChoiceScore(
            items: items.count, accuracy: accuracy, normalizedAccuracy: Double(rightNormalized) / count,
            perplexity: exp(nll / count), greedyAccuracy: greedyAccuracy,
            standardError: (share * (1 - share) / max(count - 1, 1)).squareRoot())
    }

    private static func isBest(_ sums: [Double], _ answer: Int) -> Bool {
        sums.indices.allSatisfy { $0 == answer || sums[$0] < sums[answer] }
    }

    private static func score(
        _ model: DecoderLM, _ tokenizer: any Tokenizer, _ bosID: Int32?, _ context: String, _ choice: String, _ item: Int
    ) throws -> (sum: Double, isGreedy: Bool) {
        var ids = tokenizer.encode(context + choice)
        var first = context.isEmpty ? 0 : tokenizer.encode(context).count
        if let bosID {
            ids.insert(bosID, at: 0)
            first += 1
        }
        // Without a BOS nothing precedes the first token.
        first = max(first, 1)
        guard ids.count > first else { throw ChoiceTaskError.unscorable(item: item, reason: "a choice has no tokens to score") }
        let limit = model.config.maxSequence + 1
        if ids.count > limit {
            let surplus = ids.count - limit
            guard first - surplus >= 1 else {
                throw ChoiceTaskError.unscorable(item: item, reason: "a choice is longer than the model's \(limit - 1) positions")
            }
            ids.removeFirst(surplus)
            first -= surplus
        }
        let inputs = Array(ids.dropLast())
        let logits = model.logits(ModelInput(batch: 1, seq: inputs.count, tokens: inputs)).values
        let vocabulary = model.config.vocabularySize
        var sum = 0.0
        var isGreedy = true
        for position in first - 1..<inputs.count {
            let row = logits[position * vocabulary..<(position + 1) * vocabulary]
            let target = row[row.startIndex + Int(ids[position + 1])]
            let top = row.max() ?? 0
            let total = row.reduce(0.0) { $0 + exp(Double($1 - top)) }
            sum += Double(target - top) - log(total)
            if target < top { isGreedy = false }
        }
        return (sum, isGreedy)
    }
}
