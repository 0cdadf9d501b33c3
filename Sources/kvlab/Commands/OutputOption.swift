import ArgumentParser
import Foundation

/// Whether a command may write over its output file.
struct OutputOption: ParsableArguments {
    @Flag(help: "Write over an output file that is there already.")
    var force = false

    /// Throws, before any work, where a file can't be written to `path`: it is there already, is a folder, or its folder isn't there.
    func check(_ path: String) throws {
        let files = FileManager.default
        var isDirectory: ObjCBool = false
        if unsafe files.fileExists(atPath: path, isDirectory: &isDirectory) {
            guard !isDirectory.boolValue else { throw ValidationError("\(path) is a folder; name a file to write") }
            guard force else { throw ValidationError("\(path) is there already; --force writes over it") }
            return
        }
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        guard files.fileExists(atPath: folder) else { throw ValidationError("\(path): there is no folder \(folder)") }
        guard files.isWritableFile(atPath: folder) else {
            throw ValidationError("\(path): the folder \(folder) can't be written to")
        }
    }
}
