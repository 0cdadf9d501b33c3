import ArgumentParser
import Evaluation

/// The command of an evaluation through the cache that serves, or by likelihood where its file asks for that.
struct CachedEvaluationCommand<Kind: EvaluationKind>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: Kind.name, abstract: Kind.abstract,
            discussion: """
                \(Kind.withOptions(Kind.discussion))

                With --out each finished example is a line of records.jsonl at once, and the same command goes on where it stopped.
                """)
    }

    @OptionGroup var evaluation: EvaluationArguments<Kind>

    @OptionGroup var options: LongContextOptions

    func run() async throws {
        let spec = try evaluation.spec(isQueryAware: options.queryAware)
        switch try evaluation.work(spec) {
        case .generation(let task, let scoring):
            if try options.evictsBeforeQuestions, !task.hasContext {
                throw ValidationError(
                    "nothing precedes the questions of \(task.name), at whose beginning evictions would decide; use --query-aware"
                )
            }
            try await options.run(
                task, models: evaluation.models, chat: ChatPolicy(rawValue: spec.chat)?.evaluation, scoring: scoring)
        case .choices(let set):
            if let given = options.firstGiven {
                throw ValidationError(
                    "\(given) has no effect on \(set.name), whose choices are scored by likelihood, without a cache")
            }
            try LikelihoodEvaluation(
                models: evaluation.models, tokenizer: options.tokenizer, threads: options.threads, results: options.output.results
            ).run(set)
        }
    }
}

/// The command of an evaluation by likelihood alone.
struct LikelihoodEvaluationCommand<Kind: EvaluationKind>: ParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: Kind.name, abstract: Kind.abstract, discussion: Kind.withOptions(Kind.discussion))
    }

    @OptionGroup var evaluation: EvaluationArguments<Kind>

    @OptionGroup var likelihood: LikelihoodOptions

    func run() throws {
        guard case .choices(let set) = try evaluation.work(evaluation.spec()) else {
            preconditionFailure("'\(Kind.name)' has no settings of a cache and generates outputs")
        }
        try likelihood.evaluation(of: evaluation.models).run(set)
    }
}
