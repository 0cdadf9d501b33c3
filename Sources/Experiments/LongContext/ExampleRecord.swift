import Evaluation
import Inference

/// The record of one example, run by a model with a cache: a line of `records.jsonl`.
public struct ExampleRecord: Codable, Sendable, Equatable {
    /// The example's name.
    public var id: String
    /// The model's name, and the cache's configuration.
    public var model: String, cache: String
    /// The example's group.
    public var group: ExampleGroup
    /// Whether slots were evicted after the question was read. False where nothing is evicted.
    public var queryAware: Bool
    /// Tokens of the prompt, and the number of them found in the prefix cache.
    public var promptTokens: Int, cachedTokens: Int
    /// Bytes of the prompt's keys and values if all were kept, and of the ones that the cache keeps.
    public var contextBytes: Int, heldBytes: Int
    /// The generated text, and its tokens.
    public var output: String, outputTokens: Int
    /// The rule of the scores, by its name, and its references.
    public var rule: String, references: [String]
    /// The classes and the question, where the rule reads them.
    public var classes: [String]?, question: String?
    /// Scores from 0 to 1: `score` or `accuracy`, and the rule's further ones; none without references.
    public var scores: [String: Double]
    /// Why the output ended: stop or length.
    public var finish: String
    /// Seconds from the request's first step to its first token, and from there to its end.
    public var prefillSeconds: Double, decodeSeconds: Double
    /// Seconds of the first ones in which slots of the prompt were evicted, 0 behind a context that an example before it left; nil for a cache
    /// that evicts nothing.
    public var compressSeconds: Double?
    /// The SHA-256 of the prompt's text.
    public var promptSHA256: String

    /// The scoring of the output.
    var scoring: OutputScoring {
        OutputScoring(rule: rule, references: references, classes: classes, question: question)
    }
    /// Whether the output has references.
    var isScored: Bool { !scores.isEmpty }
    /// The score that tables and plots show, of one that has references.
    var score: Double { scores["accuracy"] ?? scores["score"] ?? 0 }
    /// The scores beside it.
    var furtherScores: [String: Double] { scores.filter { !["accuracy", "score"].contains($0.key) } }
}
