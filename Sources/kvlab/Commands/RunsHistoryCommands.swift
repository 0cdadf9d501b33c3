import ArgumentParser
import Console
import Foundation
import Registry

/// `kvlab runs diff RUN RUN`
struct RunsDiffCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff", abstract: "What sets two runs apart: recipe values, and bits per byte after the same steps.")

    @Argument(help: "The first run.")
    var first: String

    @Argument(help: "The second run.")
    var second: String

    @OptionGroup var options: RunsOptions

    private struct Report: Encodable {
        var first: String
        var second: String
        var recipe: [RunDifference.Entry]
        var validations: [RunDifference.Validation]
    }

    func run() throws {
        let registry = try options.registry()
        let (a, b) = (try registry.run(first), try registry.run(second))
        let difference = try RunDifference(a, b, in: registry)
        if options.results.isJSON {
            return try options.results.print(
                Report(first: a.path, second: b.path, recipe: difference.recipe, validations: difference.validations))
        }
        try print("- \(a.path.onOneLine)\n+ \(b.path.onOneLine)")
        if difference.recipe.isEmpty { try print("the recipes are the same") }
        for entry in difference.recipe {
            let values = [entry.first, entry.second].map { $0?.onOneLine ?? "absent" }
            try print("\(entry.key.onOneLine):  \(values[0])  →  \(values[1])")
        }
        for point in difference.validations {
            try print(
                String(
                    format: "step %d: %.4f → %.4f bits per byte (%+.4f)", point.step, point.first, point.second,
                    point.second - point.first))
        }
    }
}

/// `kvlab runs lineage RUN`
struct RunsLineageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lineage", abstract: "What a run's model was made from, and what was made from it.")

    @Argument(help: "The run.")
    var name: String

    @OptionGroup var options: RunsOptions

    private struct Node: Encodable {
        var hash: String
        var paths: [String]
        var conversion: String?
        var steps: Int?
        var tokensSeen: Int?
        var children: [Node]

        init(_ node: LineageTree.Node) {
            hash = node.hash
            paths = node.paths
            conversion = node.checkpoint?.conversion
            steps = node.checkpoint?.steps
            tokensSeen = node.checkpoint?.tokensSeen
            children = node.children.map(Node.init)
        }
    }

    func run() throws {
        let registry = try options.registry()
        let run = try registry.run(name)
        guard let model = try registry.model(of: run) else { throw RegistryError.noCheckpoint(run: run.path) }
        let tree = LineageTree(of: model, in: try registry.checkpoints())
        if options.results.isJSON { try options.results.print(Node(tree.root)) } else { try print(tree.text) }
    }
}

/// `kvlab runs gc`
struct RunsGCCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gc", abstract: "Show, or with --delete remove, what no run needs any more.",
        discussion: """
            That is the training state of finished runs, which only --resume reads, and the temporary files of killed processes. Models are \
            never touched, nor runs that are going on.
            """)

    @OptionGroup var options: RunsOptions

    @Flag(help: "Delete the files instead of listing them.")
    var delete = false

    private struct Report: Encodable {
        var deleted: Bool
        var files: [RunCleanup.Item]
    }

    func run() throws {
        let cleanup = try RunCleanup(try options.registry())
        let items = delete ? try cleanup.delete() : cleanup.items
        if options.results.isJSON {
            return try options.results.print(Report(deleted: delete, files: items))
        }
        for item in items { try print("\(item.path.onOneLine)  \(item.bytes) bytes  \(item.reason)") }
        let megabytes = String(format: "%.1f MB", Double(items.reduce(0) { $0 + $1.bytes }) / 1e6)
        try print(
            delete ? "deleted \(items.count) files, \(megabytes)" : "\(items.count) files, \(megabytes); --delete removes them")
    }
}
