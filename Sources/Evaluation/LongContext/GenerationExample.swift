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
    /// The rule of the score.
    public var task: ScoringTask

    /// The output's scores: those of its rule.
    ///
    /// Throws ``ScoringError/line(_:reason:)`` with line 0 where the references are not of the task's form.
    public func scores(_ output: String, _ options: ScoringTask.Options = .init()) throws(ScoringError) -> [String: Double] {
        try OutputScoring(self).scores(output, options)
    }
}
