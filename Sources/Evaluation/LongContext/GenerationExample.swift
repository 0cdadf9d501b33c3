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
    /// The question, where the score's rule reads it.
    public var question: String?
    /// Strings that end the output; they are not part of it.
    public var stops: [String] = []
    /// Tokens that end the output from its second token on, as the first may be none of them nor the model's end of sequence; none where any
    /// token may come first.
    public var laterStopIDs: Set<Int32> = []
    /// The rule of the score.
    public var task: ScoringTask
    /// The example that follows an output of this one, such as a conversation's next turn; nil for the last.
    public var following: (@Sendable (_ output: String) throws -> GenerationExample?)?
    /// The least tokens of prompt and output that the examples following this one come to, however short the outputs.
    public var leastTokens = 0
    /// The most tokens of prompt and output that the examples following this one come to, where outputs have their most tokens.
    public var mostTokens = 0

    /// This example or the first of the ones that follow it without an output in `outputs`, by id; nil where all have one.
    public func remaining(_ outputs: [String: String]) throws -> GenerationExample? {
        var example = self
        while let output = outputs[example.id] {
            guard let next = try example.following?(output) else { return nil }
            example = next
        }
        return example
    }

    /// The output's scores: those of its rule.
    ///
    /// Throws ``ScoringError/line(_:reason:)`` with line 0 where the references are not of the task's form.
    public func scores(_ output: String, _ options: ScoringTask.Options = .init()) throws(ScoringError) -> [String: Double] {
        try OutputScoring(self).scores(output, options)
    }
}
