import JSON

/// The scoring of one example's output: the rule with all that it reads beside the output, so that a record can be scored anew.
public struct OutputScoring: Sendable, Equatable {
    /// The name of the rule: a LongBench data set's, or `suite:task`.
    public var rule: String
    /// The references.
    public var references: [String]
    /// The classes of a classification.
    public var classes: [String]?
    /// The question, where the rule reads it.
    public var question: String?

    /// The scoring by a rule's name.
    public init(rule: String, references: [String], classes: [String]? = nil, question: String? = nil) {
        (self.rule, self.references, self.classes, self.question) = (rule, references, classes, question)
    }

    /// The scoring of an example.
    public init(_ example: GenerationExample) {
        (rule, references) = (example.task.name, example.references)
        (classes, question) = (example.classes.isEmpty ? nil : example.classes, example.question)
    }

    /// The output's scores from 0 to 1: `score`, for tasks of retrieval and of answers that are right or wrong `accuracy`, and the
    /// rule's further ones. None for an output without references.
    ///
    /// Throws ``ScoringError/line(_:reason:)`` with line 0 where the rule is unknown or the references are not of its form.
    public func scores(_ output: String, _ options: ScoringTask.Options) throws(ScoringError) -> [String: Double] {
        guard let task = ScoringTask.rule(rule) else { throw .line(0, reason: "unknown rule '\(rule.prefix(60))'") }
        guard task.name != ScoringTask.unscored.name else { return [:] }
        guard !task.hasOneReference || references.count == 1 else {
            throw .line(0, reason: "\(references.count) references, expected 1 for '\(rule)'")
        }
        let scored = ScoringCase(
            id: .null, task: task, prediction: PythonText(output), references: references.map { PythonText($0) },
            classes: (classes ?? []).map { PythonText($0) }, question: PythonText(question ?? ""))
        if let harness = options.harness, task.name == ScoringTask.harness.name {
            return harness.scores(output, references: references)
        }
        var scores = task.details.mapValues { $0(scored) }
        do throws(Fault) {
            scores[task.isGraded ? "score" : "accuracy"] = try task.score(scored, options).value
        } catch {
            throw .line(0, reason: error.reason)
        }
        return scores
    }
}
