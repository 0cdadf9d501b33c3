/// A task whose outputs are generated and scored by a rule: a grid of prompts, or the records of a published suite.
public protocol GenerationTask: Sendable {
    /// The task's name in tables and records.
    var name: String { get }
    /// The options that its examples depend on, by their flags.
    var options: [String: String] { get }
    /// The files that its examples are made from, of which a folder of records keeps the digests.
    var files: [String] { get }
    /// Examples for each model.
    var count: Int { get }
    /// Whether something precedes the questions, at whose beginning evictions decide.
    var hasContext: Bool { get }
    /// The examples for a model, in the order in which they are run.
    func examples(_ encoder: PromptEncoder) throws -> [GenerationExample]
}

extension GenerationTask {
    public var files: [String] { [] }
    public var hasContext: Bool { true }
}
