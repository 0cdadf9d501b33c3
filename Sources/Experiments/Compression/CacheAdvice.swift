import Files
import Inference
import Models

/// The model and cache that a search chose, with the commands that serve and measure it.
public struct CacheAdvice: Sendable, Encodable {
    /// A model through a cache within the budget.
    public struct Choice: Sendable, Encodable {
        /// The model's file and name.
        public var path: String, model: String
        /// The cache as `--cache` reads it.
        public var cache: String
        /// KL(parent ‖ this) in nats a token.
        public var klToParent: Double
        /// The most cache bytes a token of a decoding sequence.
        public var cacheBytesPerToken: Double
        /// The conversion that the model was made by, in words; nil where its file names none.
        public var conversion: String?
        /// The command that serves it.
        public var serve: String
        /// The command that measures it again.
        public var measure: String

        init(
            _ entry: CacheFrontier.Entry, path: String, parent: String, text: String, grid: CacheGrid, windows: Int,
            conversion: String?
        ) {
            (self.path, model, cache, self.conversion) = (path, entry.model, "\(entry.cache)", conversion)
            (klToParent, cacheBytesPerToken) = (entry.score.klToParent, entry.score.cacheBytesPerToken)
            serve = ShellLine.serve(path, entry.cache)
            let models = path == parent ? [path] : [parent, path]
            measure = ShellLine.text(
                ["kvlab", "compare"] + models + [
                    "--text", text, "--window", "\(grid.window)", "--prefill", "\(grid.prompt)", "--limit-windows", "\(windows)",
                    "--compression", "\(entry.cache)",
                ])
        }
    }

    /// The budget, bytes a token.
    public var bytesPerToken: Double
    /// Tokens of the sequences that were measured.
    public var contextTokens: Int
    /// Models with caches within the budget by count.
    public var candidates: Int
    /// The least divergence within the budget.
    public var choice: Choice
    /// The next; nil where only one cache is within the budget.
    public var runnerUp: Choice?
    /// The best few candidates as they were measured.
    public var frontier: CacheFrontier

    /// The advice for people.
    public var plain: String {
        func line(_ title: String, _ it: Choice) -> String {
            String(
                format: "%@  %@, %@: KL %.5f nats a token, %.1f of %g bytes a token", title, it.model, it.cache, it.klToParent,
                it.cacheBytesPerToken, bytesPerToken)
        }
        var lines = [frontier.plain, "", "\(candidates) caches are within the budget by count.", line("choice    ", choice)]
        if let runnerUp {
            lines.append(
                line("runner-up ", runnerUp) + String(format: "; %.5f nats more", runnerUp.klToParent - choice.klToParent))
        }
        if let conversion = choice.conversion { lines.append("\(choice.model) was made by: \(conversion)") }
        return (lines + ["", choice.serve, choice.measure]).joined(separator: "\n")
    }
}
