import ArgumentParser
import Evaluation

/// The command of an evaluation: outputs generated through the cache that serves, or choices scored by likelihood.
struct EvaluationCommand<Kind: EvaluationKind>: AsyncParsableCommand {
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
        let work = try evaluation.work(spec)
        switch work {
        case .generation(let task, let scoring):
            try options.check(task.name, hasContext: work.hasContext)
            guard options.dtype == nil else {
                throw ValidationError("--dtype has no effect on \(task.name), which multiplies in the weights' own type")
            }
            try await options.run(
                task, models: evaluation.models, chat: ChatPolicy(rawValue: spec.chat)?.evaluation, scoring: scoring)
        case .choices(let set):
            if let given = options.firstOfOutputs {
                throw ValidationError("\(given) has no effect on \(set.name), whose choices are scored by likelihood")
            }
            try options.check(set.name, hasContext: work.hasContext)
            var likelihood = LikelihoodEvaluation(
                models: evaluation.models, tokenizer: options.tokenizer, dtype: options.dtype ?? .fp32, threads: options.threads,
                results: options.output.results)
            if options.isThroughCache {
                guard options.dtype == nil else {
                    throw ValidationError("--dtype has no effect with --cache, which multiplies in the weights' own type")
                }
                likelihood.caches = try options.specs()
            }
            (likelihood.isQueryAware, likelihood.paging) = (options.queryAware, options.paging)
            try likelihood.run(set)
        }
    }
}
