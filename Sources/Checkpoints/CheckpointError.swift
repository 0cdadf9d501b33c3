/// What can be wrong with a checkpoint, as facts; `description` puts them into words.
public enum CheckpointError: Error, CustomStringConvertible, Equatable {
    /// The file is HDF5, but not written by kvlab.
    case foreign(path: String)
    /// The file is something else altogether.
    case notCheckpoint(path: String)
    /// Written by a later version of the format.
    case version(path: String, found: Int, supported: Int)
    /// The file's size is not what its header says.
    case size(path: String, found: Int, expected: Int)
    /// The bytes of `part` are not those that were written.
    case changed(path: String, part: String)
    /// A part that every checkpoint has is absent.
    case missing(path: String, part: String)
    /// A part is there but cannot be what it should be.
    case invalid(path: String, part: String, reason: String)
    /// Nothing is wrong with the file, but it could not be read.
    case unreadable(path: String, reason: String)
    /// A weight's name cannot be stored.
    case name(String)
    /// A training state in memory that cannot be stored.
    case trainingState(String)

    public var description: String {
        switch self {
        case .foreign(let path):
            "\(path): an HDF5 file that kvlab did not write, so it is not opened; bring models in with 'kvlab import' "
                + "from a Hugging Face folder"
        case .notCheckpoint(let path): "\(path): not a kvlab checkpoint"
        case .version(let path, let found, let supported):
            "\(path): written in version \(found) of the checkpoint format, this kvlab reads up to \(supported); use a newer kvlab"
        case .size(let path, let found, let expected):
            "\(path): \(found < expected ? "truncated: " : "")the file has \(found) bytes, its header says \(expected); "
                + "copy it again or use an older checkpoint"
        case .changed(let path, let part):
            "\(path): \(part) was changed or damaged since it was written (its SHA-256 differs); "
                + "copy the file again or use an older checkpoint"
        case .missing(let path, let part): "\(path): \(part) is missing"
        case .invalid(let path, let part, let reason): "\(path): \(part) is not valid: \(reason)"
        case .unreadable(let path, let reason): "\(path): cannot be read: \(reason)"
        case .name(let name): "'\(name)' cannot be the name of a stored array: it is empty or has a '/' or a zero byte too many"
        case .trainingState(let reason): "the training state cannot be stored: \(reason)"
        }
    }
}
