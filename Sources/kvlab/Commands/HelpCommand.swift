import ArgumentParser
import JSON
import Recipes

/// `kvlab help`: the manual of a command, or the keys of recipes.
struct HelpCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "help", abstract: "Show the manual of a command, or the keys of recipes.",
        discussion: """
            'kvlab help recipe' shows every key of a recipe with its type, default, meaning and an example; a path such as train or lab.sweep.seeds \
            after it, those at and under that path.
            """)

    @Argument(help: "A command such as 'eval ppl', or 'recipe' and the path of a key.")
    var topic: [String] = []

    @Flag(help: "With recipe: print a JSON Schema (2020-12) of recipes, for editors.")
    var schema = false

    /// Whether the topic is the keys of recipes.
    private var isRecipe: Bool { topic.first == "recipe" }

    func validate() throws {
        guard !schema || topic == ["recipe"] else { throw ValidationError("--schema is for 'kvlab help recipe'") }
        guard !isRecipe || topic.count <= 2 else { throw ValidationError("'kvlab help recipe' takes one path of a key") }
    }

    func run() throws {
        guard isRecipe else { throw CleanExit.helpRequest(try command()) }
        if schema { return try print(Recipe.schema().text) }
        guard let text = Recipe.help(on: topic.dropFirst().first) else {
            throw ValidationError("recipes have no key '\(topic[1])'; 'kvlab help recipe' shows all of them")
        }
        try print(text)
    }

    /// The command that the topic's words name, one under the other.
    private func command() throws -> any ParsableCommand.Type {
        var command: any ParsableCommand.Type = Kvlab.self
        for word in topic {
            let inner = command.configuration.subcommands
            guard let next = inner.first(where: { $0._commandName == word }) else {
                let names = inner.map { $0._commandName }.joined(separator: ", ")
                let parent = command == Kvlab.self ? "kvlab" : "'\(command._commandName)'"
                throw ValidationError("\(parent) has no command '\(word)'" + (names.isEmpty ? "" : "; there are \(names)"))
            }
            command = next
        }
        return command
    }
}
