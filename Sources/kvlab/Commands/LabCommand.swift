import ArgumentParser
import Console
import Experiments
import Foundation
import Recipes
import Training

/// `kvlab lab`: the whole pipeline.
struct LabCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lab", abstract: "Train a parent or take a given one, convert it, uptrain the children, compare them all.",
        discussion: """
            RECIPE is a recipe or a model in any format that 'kvlab import' reads. For a model --kv-heads, --methods, --uptrain-tokens and \
            --text say what to try: the recipe of that is written as lab.json into the directory, then run.

            The recipe's "lab" section names the children. Everything is written under the directory: a run for each part, results.json, \
            results.md and report.html. With --resume, finished parts are not done again; where a text, tokenizer \
            or model has changed since, that is refused, and with --force the parts made from the old content are made again.
            With "sweep" in place of "children" the models are the product of KV heads, methods, alphas and seeds, with the parent continued \
            and the children's architectures from scratch as controls. Each lies in a folder named by a hash of all that decides it: what \
            is there is never made again, and the same command goes on where it was interrupted.
            """)

    @OptionGroup var options: RecipeOptions

    @OptionGroup(title: "A model in place of a recipe")
    var given: LabOptions

    @Flag(name: .customLong("dry-run"), help: "Print the steps, and which of them are there; make none.")
    var dryRun = false

    @OptionGroup var results: JSONOptions

    func run() async throws {
        var options = options
        var draft: String?
        // The recipe of a refused lab, or of a dry run, would be in the way of the next one.
        defer { if let draft { try? FileManager.default.removeItem(atPath: draft) } }
        if let lab = try given.lab(over: options.recipe) { draft = try write(lab, &options) }
        let (recipe, directory) = try options.load()
        guard let lab = recipe.lab else { throw ValidationError("\(options.recipe) has no 'lab' section; 'kvlab train' runs it") }
        guard lab.sweep == nil || !options.force else {
            throw ValidationError("--force has no effect on a sweep: changed inputs make steps of their own")
        }
        let signal = StopSignal()
        let sweep = try options.located {
            try Sweep(
                recipe: recipe, lab: lab, directory: directory, logs: Set(options.log), reporter: ProgressReporter()
            ) { ChatPolicy(rawValue: $0)?.evaluation }
        }
        if dryRun {
            if draft != nil { try print(recipe.resolvedJSON) }
            try print(options.located { try sweep.planText() })
            return
        }
        if let path = draft { note("wrote \(path)") }
        draft = nil
        let result = try await options.located {
            try await sweep.execute(
                resume: options.resume, force: options.force, budget: given.budgetMinutes.map { 60 * $0 }
            ) { signal.number != nil }
        }
        guard let result else { throw options.interrupted("lab", signal.number ?? 15, directory) }
        if results.isJSON { return try results.print(result.table) }
        for recommendation in result.results.recommendations { try print(recommendation.plain + "\n") }
        try print(result.table.plain)
        if let frontier = result.frontier { try print("\n\(frontier.plain)") }
        if let tasks = result.results.tasks { try print("\n\(tasks.plain)\n\n\(tasks.verdicts.joined(separator: "\n"))") }
        try print("\n\(result.duration); report: \(result.reportPath)")
    }

    /// Writes the recipe of `lab` into its directory, for a dry run into a temporary file, and goes on as if it had been given.
    private func write(_ lab: CheckpointLab, _ options: inout RecipeOptions) throws -> String {
        let directory = options.out ?? "runs/\(CheckpointLab.name(lab.checkpoint))"
        let path = directory + "/lab.json"
        guard !FileManager.default.fileExists(atPath: path) else {
            throw ValidationError("\(path) is there already; go on with it: kvlab lab \(path) --out \(directory) --resume")
        }
        options.recipe = dryRun ? FileManager.default.temporaryDirectory.appending(path: "kvlab-lab-\(UUID())").path : path
        options.out = directory
        let text = try lab.recipe()
        if !dryRun { try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true) }
        try TextFile.write(text, to: options.recipe)
        return options.recipe
    }
}
