import CFiles
import Glibc

/// A pipe whose ends no child process inherits.
public enum Pipe {
    /// Opens a pipe, whose two ends the caller closes.
    public static func open() throws(FileError) -> (reading: Int32, writing: Int32) {
        var ends: [Int32] = [-1, -1]
        guard unsafe kvlab_pipe(&ends) == 0 else { throw .system(path: "a pipe", action: "open", errno: errno) }
        return (ends[0], ends[1])
    }
}
