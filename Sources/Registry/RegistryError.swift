/// An error of the registry of runs.
public enum RegistryError: Error, CustomStringConvertible, Equatable {
    /// No folder exists at `root`.
    case noFolder(root: String)
    /// No run is called `name`; `known` are a few of the existing ones.
    case unknownRun(name: String, root: String, known: [String])
    /// Several runs match `name`.
    case ambiguousRun(name: String, matches: [String])
    /// The run has no readable checkpoint, so its lineage is unknown.
    case noCheckpoint(run: String)
    /// The index could not be written, so it is kept in memory.
    case unwritableIndex(path: String, reason: String)
    /// The index could be read neither on disk nor in memory.
    case unreadableIndex(path: String, reason: String)

    /// The sentence for the user.
    public var description: String {
        switch self {
        case .noFolder(let root): "\(root): no such folder; name the one that holds the runs with --runs DIR"
        case .unknownRun(let name, let root, let known):
            "no run under \(root) goes by '\(name)'; "
                + (known.isEmpty ? "there is none at all" : "there are " + known.joined(separator: ", "))
        case .ambiguousRun(let name, let matches):
            "'\(name)' stands for \(matches.joined(separator: " and ")); use a longer path"
        case .noCheckpoint(let run): "\(run): no checkpoint that can be read, so its lineage is not known"
        case .unwritableIndex(let path, let reason):
            "\(path): the index of the runs cannot be written: \(reason); every run folder was read instead, which takes longer. "
                + "Free space, or let this user write there"
        case .unreadableIndex(let path, let reason):
            "\(path): the index of the runs cannot be read: \(reason); delete it, and it is made anew from the run folders"
        }
    }
}
