/// An error of reading or writing a checkpoint; `description` has the sentence for the user.
public enum CheckpointError: Error, CustomStringConvertible, Equatable {
    /// The file is an HDF5 file that kvlab did not write.
    case foreign(path: String)
    /// The file is not an HDF5 file.
    case notCheckpoint(path: String)
    /// The file has a later version of the format.
    case version(path: String, found: Int, supported: Int)
    /// The file's size differs from its header's.
    case size(path: String, found: Int, expected: Int)
    /// The bytes of `part` differ from their digest.
    case changed(path: String, part: String)
    /// A required part is absent.
    case missing(path: String, part: String)
    /// A part is present but invalid.
    case invalid(path: String, part: String, reason: String)
    /// The file could not be read, whatever its content.
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
