/// A fault that stops an evaluation of long contexts.
public enum LongContextError: Error, CustomStringConvertible, Equatable {
    /// An example and its output have more tokens than the model has positions.
    case positions(String, needed: Int, model: String, positions: Int)
    /// An example and its output have more tokens than the cache memory has room for.
    case memory(String, needed: Int, room: Int, bytes: Int, cache: String)
    /// The engine ended an example without a token.
    case unfinished(String)
    /// A folder holds the records of another evaluation, which differs at a field.
    case otherRun(folder: String, field: String, recorded: String, found: String)
    /// A line of a file of kvlab's own cannot be read.
    case damaged(path: String, line: Int)
    /// A folder's `run.json` describes no evaluation.
    case noRun(path: String)
    /// Two models, or two caches, have one name.
    case ambiguous(String)

    /// The sentence for the user.
    public var description: String {
        switch self {
        case .positions(let id, let needed, let model, let positions):
            "\(id): the prompt and its output take \(needed) tokens, \(model) has \(positions) positions; choose shorter prompts"
        case .memory(let id, let needed, let room, let bytes, let cache):
            "\(id): the prompt and its output take \(needed) tokens, \(bytes) bytes of a \(cache) cache have room for \(room); "
                + "use more --kv-memory"
        case .unfinished(let id): "\(id): the engine stopped before the output began"
        case .otherRun(let folder, let field, let recorded, let found):
            "\(folder): holds an evaluation whose \(field) is \(recorded), not \(found); choose another folder with --out"
        case .damaged(let path, let line):
            "\(path): line \(line) is no record; remove it, and its example is run again"
        case .noRun(let path): "\(path): describes no evaluation; choose another folder with --out"
        case .ambiguous(let name): "'\(name)' is named twice; each model and each cache needs a name of its own"
        }
    }
}
