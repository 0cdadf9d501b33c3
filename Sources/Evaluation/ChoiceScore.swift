import Autograd
import Glibc
import Kernels
import Models
import Text

/// A model's scores on a multiple-choice task.
public struct ChoiceScore: Sendable, Equatable {
    /// Items scored.
    public var items: Int
    /// The share of items whose right choice has the highest sum of log-probabilities; of equal ones the first counts as chosen.
    public var accuracy: Double
    /// Accuracy with sums divided by each choice's characters (code points), without the space before it.
    public var normalizedAccuracy: Double
    /// Accuracy with sums divided by each choice's bytes.
    public var byteAccuracy: Double
    /// exp of the mean over items of the right choice's negative log-likelihood.
    public var perplexity: Double
    /// The share of items whose right choice is the greedy continuation.
    public var greedyAccuracy: Double
    /// The standard error of `accuracy`; of `greedyAccuracy` where items have a single choice.
    public var standardError: Double
    /// The results item by item.
    public var results: [Result]
    /// Bytes of the keys and values that a choice was scored through, on average; nil without a cache.
    public var bytesHeld: Double?

    /// The result of one item.
    public struct Result: Sendable, Equatable {
        /// The index of the right choice.
        public var answer: Int
        /// The index of the choice with the highest sum of log-probabilities, of equal ones the first.
        public var chosen: Int
        /// Whether the right choice is the greedy continuation.
        public var isGreedy: Bool
    }

    /// Scores `items`, each choice as a continuation of the context and, where there is one, `bosID`; choices without a context
    /// follow `prefixID`, where there is one.
    ///
    /// The rules are lm-evaluation-harness's: the context's trailing spaces belong to the choice; the context is encoded alone,
    /// and the choice's tokens are those of the joint encoding after as many tokens; contexts too long for the model are
    /// truncated at their start. Choices of one token after the same tokens are read off one row of logits. Choices are scored in
    /// batches of similar length, about `batchTokens` each; `progress` gets the choices done and the choices in all.
    public static func evaluate(
        _ model: DecoderLM, tokenizer: any Tokenizer, bosID: Int32?, prefixID: Int32?, _ items: [ChoiceItem],
        batchTokens: Int = 2048, progress: (_ done: Int, _ of: Int) throws -> Void = { _, _ in }
    ) throws -> ChoiceScore {
        let (rows, passes) = try rows(
            items, tokenizer: tokenizer, bosID: bosID, prefixID: prefixID, positions: model.config.maxSequence)
        var parts = [(sum: Double, isGreedy: Bool)](repeating: (0, false), count: rows.count)
        // Longest first, so that a lack of memory shows at once.
        let order = passes.indices.sorted { (rows[passes[$1][0]].ids.count, $0) < (rows[passes[$0][0]].ids.count, $1) }
        var (start, done) = (0, 0)
        while start < order.count {
            let seq = rows[passes[order[start]][0]].ids.count - 1
            let batch = order[start..<min(order.count, start + max(1, batchTokens / seq))].map { passes[$0] }
            let scores = score(model, batch.map { $0.map { rows[$0] } }, seq: seq)
            for (index, part) in zip(batch.joined(), scores) { parts[index] = part }
            start += batch.count
            done += batch.reduce(0) { $0 + $1.count }
            try progress(done, rows.count)
        }
        return ChoiceScore(items, parts)
    }

    /// The choices of all items as rows of tokens, and the rows that each pass of the model scores, by their numbers.
    static func rows(
        _ items: [ChoiceItem], tokenizer: any Tokenizer, bosID: Int32?, prefixID: Int32?, positions: Int
    ) throws(ChoiceTaskError) -> (rows: [Row], passes: [[Int]]) {
        var rows: [Row] = []
        var passes: [[Int]] = []
        for (number, item) in items.enumerated() {
            let first = passes.count
            for choice in item.choices {
                let row = try Row(
                    item: number, context: item.context, choice: choice, tokenizer: tokenizer, bosID: bosID,
                    prefixID: prefixID, positions: positions)
                if let place = passes[first...].firstIndex(where: { rows[$0[0]].sharesPass(with: row) }) {
                    passes[place].append(rows.count)
                } else {
                    passes.append([rows.count])
                }
                rows.append(row)
            }
        }
        return (rows, passes)
    }

    /// Scores from each choice's sum of log-probabilities and whether it is the greedy continuation, item after item.
    init(_ items: [ChoiceItem], _ parts: [(sum: Double, isGreedy: Bool)]) {
        var (rightByCharacters, rightByBytes, nll) = (0, 0, 0.0)
        var next = 0
        results = []
        for item in items {
            let own = parts[next..<next + item.choices.count]
            next += item.choices.count
            let texts = item.names ?? item.choices.map { $0.hasPrefix(" ") ? String($0.dropFirst()) : $0 }
            func best(_ lengths: [Int]) -> Int {
                let sums = zip(own, lengths).map { $0.sum / Double(max($1, 1)) }
                return sums.firstIndex(of: sums.max() ?? 0) ?? 0
            }
            if best(texts.map(\.unicodeScalars.count)) == item.answer { rightByCharacters += 1 }
            if best(texts.map(\.utf8.count)) == item.answer { rightByBytes += 1 }
            let right = own[own.startIndex + item.answer]
            nll -= right.sum
            results.append(Result(answer: item.answer, chosen: best(texts.map { _ in 1 }), isGreedy: right.isGreedy))
        }
        let count = Double(max(items.count, 1))
        self.items = items.count
        accuracy = Double(results.count { $0.chosen == $0.answer }) / count
        normalizedAccuracy = Double(rightByCharacters) / count
        byteAccuracy = Double(rightByBytes) / count
        perplexity = exp(nll / count)
        greedyAccuracy = Double(results.count(where: \.isGreedy)) / count
        let share = items.allSatisfy { $0.choices.count == 1 } ? greedyAccuracy : accuracy
        standardError = (share * (1 - share) / max(count - 1, 1)).squareRoot()
    }

    /// A context and one choice, tokenized.
    struct Row {
        /// The number of its item.
        let item: Int
        private(set) var ids: [Int32]
        /// The choice's first token.
        private(set) var first: Int

        init(
            item: Int, context: String, choice: String, tokenizer: any Tokenizer, bosID: Int32?, prefixID: Int32?, positions: Int
        ) throws(ChoiceTaskError) {
            self.item = item
            // Spaces before a word are part of its token.
            let end = context.lastIndex { !$0.isWhitespace }.map { context.index(after: $0) } ?? context.startIndex
            let (before, after) = (String(context[..<end]), context[end...] + choice)
            if before.isEmpty {
                ids = tokenizer.encode(String(after))
                if let prefixID, ids.first != prefixID { ids.insert(prefixID, at: 0) }
                first = 1
            } else {
                let (alone, whole) = (tokenizer.encode(before), tokenizer.encode(before + after))
                let start = bosID.map { [$0] } ?? []
                ids = start + alone + whole.dropFirst(alone.count)
                first = start.count + alone.count
            }
            // The first token has no context and is not scored.
            first = max(first, 1)
            guard ids.count > first else { throw .unscorable(item: item, reason: "a choice has no tokens to score") }
            let surplus = ids.count - positions - 1
            guard surplus > 0 else { return }
            guard first - surplus >= 1 else {
                throw .unscorable(item: item, reason: "a choice is longer than the model's \(positions) positions")
            }
            ids.removeFirst(surplus)
            first -= surplus
        }

        /// Whether one pass scores this row and `other`: they have one choice's token each, after the same tokens.
        func sharesPass(with other: Row) -> Bool {
            first == other.first && ids.count == first + 1 && ids.dropLast() == other.ids.dropLast()
        }
    }

    /// Scores the rows of passes, padded at the end to `seq` tokens, which changes nothing under causal attention.
    private static func score(_ model: DecoderLM, _ passes: [[Row]], seq: Int) -> [(sum: Double, isGreedy: Bool)] {
        var tokens: [Int32] = []
        var wanted: [Int32] = []
        for (number, pass) in passes.enumerated() {
            let row = pass[0]
            tokens += row.ids.dropLast() + [Int32](repeating: 0, count: seq - row.ids.count + 1)
            wanted += (row.first - 1..<row.ids.count - 1).map { Int32(number * seq + $0) }
        }
        let vocabulary = model.config.vocabularySize
        let logits = model.logits(ModelInput(batch: passes.count, seq: seq, tokens: tokens), rows: wanted).storage
        let likeliest = LogitRows.argmax(logits, rows: wanted.count, width: vocabulary)
        var next = 0
        return passes.flatMap { pass in
            let start = next
            next += pass[0].ids.count - pass[0].first
            return pass.map { row in
                var (sum, isGreedy) = (0.0, true)
                for (place, id) in zip(start..., row.ids[row.first...]) {
                    sum += Double(LogitRows.logSoftmax(logits, row: place, width: vocabulary)[Int(id)])
                    if likeliest[place] != id { isGreedy = false }
                }
                return (sum, isGreedy)
            }
        }
    }
}
