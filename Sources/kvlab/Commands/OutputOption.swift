import ArgumentParser
import Experiments
import Foundation

/// Whether a command may write over its output file.
struct OutputOption: ParsableArguments {
    @Flag(help: "Write over an output file that is there already.")
    var force = false

    /// Throws, before any work, if `path` exists (without `--force`), is a folder, or is not in a folder that can be written to.
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

/// The HTML report that a command writes beside its table.
struct HTMLReportOption: ParsableArguments {
    @Option(help: "Also write the results as an HTML report.", completion: .file(extensions: ["html"]))
    var html: String?

    @OptionGroup var output: OutputOption

    func validate() throws {
        if html == nil, output.force { throw ValidationError("--force writes over the file of --html; name one") }
    }

    /// Throws, before any work, where the report can't be written.
    func check() throws {
        if let html { try output.check(html) }
    }

    func write(_ report: @autoclosure () -> String) throws {
        if let html { try TextFile.write(report(), to: html, links: .followed) }
    }
}
