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
    public var references: [String]
    /// Scores from 0 to 1: `score`, or `accuracy` for tasks of retrieval, and the task's further ones.
    public var scores: [String: Double]
    /// Why the output ended: stop or length.
    public var finish: String
    /// Seconds from the request's first step to its first token, and from there to its end.
    public var prefillSeconds: Double, decodeSeconds: Double
    /// The SHA-256 of the prompt's text.
    public var promptSHA256: String

    /// The score that tables and plots show.
    var score: Double { scores["accuracy"] ?? scores["score"] ?? 0 }
}
