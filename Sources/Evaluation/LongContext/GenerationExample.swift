import JSON
import Text

/// An example of a task whose output is generated: a prompt and the references of its score.
public struct GenerationExample: Sendable {
    /// A name unique in its task, such as `passkey/1024/0.55/3`.
    public var id: String
    /// The group over which scores are averaged.
    public var group: ExampleGroup
    /// The prompt's text.
    public var prompt: String
    /// The prompt's tokens, with the model's beginning-of-sequence token.
    public var tokens: [Int32]
    /// Tokens before the question: the first that starts at or after its offset in the prompt begins it.
    public var contextTokens: Int
    /// The most tokens to generate.
    public var maxTokens: Int
    /// The references that the output is scored against.
    public var references: [String]
    /// The classes of a classification.
    public var classes: [String] = []
    /// The rule of the score.
    public var task: ScoringTask

    public init(
        id: String, group: ExampleGroup, prompt: String, tokens: [Int32], contextTokens: Int, maxTokens: Int,
        references: [String],
        classes: [String] = [], task: ScoringTask
    ) {
        (self.id, self.group, self.prompt, self.tokens) = (id, group, prompt, tokens)
        self.contextTokens = contextTokens
        (self.maxTokens, self.references, self.classes, self.task) = (maxTokens, references, classes, task)
    }

    /// The output's scores from 0 to 1: `score`, or `accuracy` for tasks of retrieval, which have 0 and 1 only, and the task's further ones.
    ///
    /// Throws ``ScoringError/line(_:reason:)`` with line 0 where the references are not of the task's form.
    public func scores(_ output: String, _ options: ScoringTask.Options = .init()) throws(ScoringError) -> [String: Double] {
        let scored = ScoringCase(
            id: .text(id), task: task, prediction: PythonText(output), references: references.map { PythonText($0) },
            classes: classes.map { PythonText($0) })
        var scores = task.details.mapValues { $0(scored) }
        do throws(ScoringTask.Refusal) {
            scores[group.dataset == nil ? "accuracy" : "score"] = try task.score(scored, options).value
        } catch { throw .line(0, reason: error.reason) }
        return scores
    }

    /// The number of `tokens`, which are a prompt's and perhaps a beginning-of-sequence token before it, that start before the last
    /// `suffix` bytes of the prompt; at least 1.
    static func tokensBefore(suffix: Int, of tokens: [Int32], _ tokenizer: any Tokenizer) -> Int {
        let total = tokenizer.decode(tokens).count
        // A token starts where the ones before it end; counted from the end, as a decoder may strip the beginning.
        var (low, high) = (1, tokens.count)
        while low < high {
            let middle = (low + high) / 2
            if tokenizer.decode(Array(tokens[..<middle])).count >= total - suffix { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
