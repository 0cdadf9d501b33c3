import ArgumentParser
import Console
import Foundation
import Registry

/// `kvlab runs`: the registry of runs.
struct RunsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "runs", abstract: "List, show, compare and trace runs; free the space they no longer need.",
        discussion: """
            The run folders are what counts. An index over them, \(RunRegistry.fileName) in the folder of --runs, is brought up to date by \
            each of these commands and can be deleted at any time.
            A RUN is its folder, the end of its folder's path, its name, or the start of its model's content hash.
            """,
        subcommands: [
            RunsListCommand.self, RunsShowCommand.self, RunsDiffCommand.self, RunsLineageCommand.self, RunsGCCommand.self,
        ])
}

/// The options shared by the `runs` commands.
struct RunsOptions: ParsableArguments {
    @Option(help: "The folder that holds the runs, at any depth.", completion: .directory)
    var runs = "runs"

    @Flag(help: "Read every run folder again, whether it has changed or not.")
    var rebuild = false

    @OptionGroup var results: JSONOptions

    func registry() throws -> RunRegistry { try openRegistry(root: runs, rebuild: rebuild) }
}

/// The registry of the runs under `root`; warns if its index cannot be kept on disk.
func openRegistry(root: String, rebuild: Bool = false) throws -> RunRegistry {
    let registry = try RunRegistry(root: root, rebuild: rebuild)
    if let problem = registry.indexProblem { note("warning: \(problem)") }
    return registry
}

/// A run with its model, as JSON.
private struct RunSummary: Encodable {
    var path: String
    var name: String
    var status: String
    var step: Int
    var loss: Double?
    var validationLoss: Double?
    var validationBitsPerByte: Double?
    var tokensPerSecond: Double?
    var bytes: Int
    var updated: Double
    var model: CheckpointRecord?

    init(_ run: RunRecord, _ model: CheckpointRecord?) {
        path = run.path
        name = run.name
        status = run.status.rawValue
        step = run.step
        loss = run.loss
        validationLoss = run.validationLoss
        validationBitsPerByte = run.validationBitsPerByte
        tokensPerSecond = run.tokensPerSecond
        bytes = run.bytes
        updated = run.updated
        self.model = model
    }
}

/// `kvlab runs list`
struct RunsListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "Every run, and how far it is.")

    @OptionGroup var options: RunsOptions

    func run() throws {
        let registry = try options.registry()
        let runs = try registry.runs()
        if options.results.isJSON {
            return try options.results.print(runs.map { RunSummary($0, try registry.model(of: $0)) })
        }
        guard !runs.isEmpty else { return try print("no runs under \(registry.root)") }
        var rows = [["run", "status", "step", "bits/byte", "loss", "attention", "cache B/token", "tokens", "MB"]]
        for run in runs {
            let model = try registry.model(of: run)
            rows.append([
                run.path.onOneLine, run.status.rawValue, String(run.step), number(run.validationBitsPerByte), number(run.loss),
                model?.attention.onOneLine ?? "–", model.map { String($0.kvBytesPerToken) } ?? "–",
                model.map { String($0.tokensSeen) } ?? "–", String(format: "%.1f", Double(run.bytes) / 1e6),
            ])
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        for row in rows {
            let cells = row.enumerated().map { column, cell in
                let gap = String(repeating: " ", count: widths[column] - cell.count)
                return column < 2 ? cell + gap : gap + cell
            }
            try print(cells.joined(separator: "  "))
        }
        for checkpoint in try registry.checkpoints() {
            if let problem = checkpoint.problem { note("warning: \(problem.onOneLine)") }
        }
    }

    private func number(_ value: Double?) -> String { value.map { String(format: "%.4f", $0) } ?? "–" }
}

/// `kvlab runs show RUN`
struct RunsShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "One run: figures, model and recipe.")

    @Argument(help: "The run.")
    var name: String

    @OptionGroup var options: RunsOptions

    func run() throws {
        let registry = try options.registry()
        let run = try registry.run(name)
        let model = try registry.model(of: run)
        if options.results.isJSON {
            return try options.results.print(RunSummary(run, model))
        }
        try print("\(run.path.onOneLine): \(run.name.onOneLine), \(run.status.rawValue) at step \(run.step)")
        if let loss = run.loss { try print(String(format: "training loss of the last step: %.4f", loss)) }
        for (step, bits) in try registry.validations(of: run) {
            try print(String(format: "step %d: %.4f bits per byte held out", step, bits))
        }
        if let speed = run.tokensPerSecond { try print("\(Int(speed)) tokens per second, median over steps") }
        if let model {
            try print(
                "\(model.path.onOneLine): \(model.parameters) parameters, \(model.attention.onOneLine), KV heads \(model.kvHeads.onOneLine), \(model.kvBytesPerToken) cache bytes per token in fp16"
            )
            try print("content \((model.hash ?? "–").onOneLine)")
            if let conversion = model.conversion { try print("converted: \(conversion.onOneLine)") }
        }
        try print(run.recipe, terminator: run.recipe.hasSuffix("\n") ? "" : "\n")
    }
}
