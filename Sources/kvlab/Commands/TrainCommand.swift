import ArgumentParser
import Experiments
import Foundation
import Recipes
import Training

extension MetricsLog: ExpressibleByArgument {}

/// A recipe and what the command line changes in it.
struct RecipeOptions: ParsableArguments {
    @Argument(help: "The recipe, JSON with comments.", completion: .file(extensions: ["json"]))
    var recipe: String

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("Override one key, for example train.steps=100; repeatable.", valueName: "key.path=value"))
    var overrides: [String] = []

    @Option(help: "Directory to write to. Default: runs/ and the recipe's name.", completion: .directory)
    var out: String?

    @OptionGroup var threads: ThreadsOption

    @Option(help: "Also write metrics in this form, beside metrics.jsonl in each run's folder; repeatable.")
    var log: [MetricsLog] = []

    @Flag(help: "Go on with the run that the directory holds.")
    var resume = false

    @Flag(help: "With --resume: go on although a text, tokenizer or model has changed since; the lineage then says so.")
    var force = false

    func validate() throws {
        if force, !resume { throw ValidationError("--force goes on with a run whose inputs have changed; give --resume too") }
    }

    func load() throws -> (recipe: Recipe, directory: String) {
        let recipe = try Recipe.load(self.recipe, overrides: overrides)
        threads.apply(else: recipe.train.threads)
        return (recipe, out ?? "runs/\(recipe.name)")
    }

    /// Runs `body`; a refusal of one of the recipe's values gets its place in the recipe.
    func located<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch ExperimentError.recipe(let key, let reason) {
            throw try refused(key, reason)
        }
    }

    /// The same for an asynchronous `body`.
    func located<Result>(_ body: () async throws -> Result) async throws -> Result {
        do {
            return try await body()
        } catch ExperimentError.recipe(let key, let reason) {
            throw try refused(key, reason)
        }
    }

    /// The refusal of the value of `key`, with its place in the recipe.
    private func refused(_ key: String, _ reason: String) throws -> RecipeError {
        .impossible(try Recipe.position(of: key, in: recipe, overrides: overrides), path: key, reason: reason)
    }

    /// Says how to go on after an interruption, and ends with the shell's exit code for the signal.
    func interrupted(_ command: String, _ signal: Int32, _ directory: String) -> ExitCode {
        let sets = overrides.map { " --set '\($0)'" }.joined()
        note("stopped; the state is saved. Resume with: kvlab \(command) \(recipe)\(sets) --out \(directory) --resume")
        return ExitCode(128 + signal)
    }
}

/// `kvlab train`: one run of a recipe.
struct TrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train", abstract: "Train or uptrain a model as a recipe says.",
        discussion: """
            Ctrl-C or SIGTERM finishes the step, saves and says how to resume; a resumed run is bit for bit the uninterrupted one. A run whose \
            texts, tokenizer or starting model have changed since is not resumed, unless with --force. The \
            directory holds recipe.json, metrics.jsonl, checkpoint.h5 (to resume from) and, at the end, model.h5; with --log tensorboard \
            events.out.tfevents.kvlab too.
            """)

    @OptionGroup var options: RecipeOptions

    @Flag(
        name: .customLong("dry-run"),
        help: "Print the resolved recipe, parameters, FLOPs, memory and estimated time; train nothing.")
    var dryRun = false

    @OptionGroup var results: JSONOptions

    func run() throws {
        let (recipe, directory) = try options.load()
        let reporter = ProgressReporter()
        let prepared = try options.located { try PreparedRun(recipe, reporter: reporter) }
        if dryRun {
            try print(recipe.resolvedJSON)
            try print(RunEstimate(prepared).text)
            return
        }
        let signal = StopSignal()
        let outcome = try Run(prepared, directory: directory, logs: Set(options.log), reporter: reporter).execute(
            resume: options.resume, force: options.force
        ) {
            signal.number != nil
        }
        if !outcome.finished { throw options.interrupted("train", signal.number ?? 15, directory) }
        if results.isJSON {
            let report = Report(
                model: outcome.path, step: outcome.step, tokensSeen: outcome.tokensSeen, validationLoss: outcome.validationLoss,
                validationBitsPerByte: outcome.validationLoss.map(prepared.bitsPerByte))
            try results.print(report)
        } else {
            try print("wrote \(outcome.path) after \(outcome.step) steps, \(outcome.tokensSeen) tokens")
        }
    }

    private struct Report: Encodable {
        var model: String
        var step: Int
        var tokensSeen: Int
        var validationLoss: Double?
        var validationBitsPerByte: Double?
    }
}
