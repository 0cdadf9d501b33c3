import Checkpoints
import Foundation
import TestSupport
import Testing

@Suite(.enabled(if: Tool.path != nil, "kvlab is not built beside the tests"))
struct ListingProcessTests {
    private let scratch = ScratchDirectory()

    @Test func `the process that reads HDF5 can open, connect, start and signal nothing`() throws {
        let outcome = try Tool.run(["read-hdf5", "--check"], in: scratch.path)
        let lines = outcome.output.split(separator: "\n").map(String.init)
        #expect(outcome.status == 0 && lines.first == "filter: on", "\(outcome)")
        let names = ["open", "create", "socket", "execve", "fork", "kill", "ptrace", "unlink", "executable memory", "more time"]
        #expect(Array(lines.dropFirst()) == names.map { "\($0): Operation not permitted" })
        #expect(scratch.names.isEmpty)
    }

    @Test func `the process that reads HDF5 takes a file on standard input and nothing else`() throws {
        try TinyCheckpoint.make().save(to: scratch["a.h5"])
        func told(_ input: FileHandle) throws -> (status: Int32, text: String) {
            let process = try Tool.process(["read-hdf5"], in: scratch.path)
            let pipe = Pipe()
            (process.standardInput, process.standardOutput) = (input, pipe)
            try process.run()
            let text = String(decoding: try pipe.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
            process.waitUntilExit()
            return (process.terminationStatus, text)
        }
        let listed = try told(try #require(FileHandle(forReadingAtPath: scratch["a.h5"])))
        #expect(listed.status == 0 && listed.text.contains("lm_head.weight") && !listed.text.contains(scratch.path))
        let refused = try told(FileHandle.nullDevice)
        #expect(refused.status != 0 && refused.text.isEmpty)
        try scratch.write(Array("no HDF5".utf8), to: "b")
        #expect(try told(try #require(FileHandle(forReadingAtPath: scratch["b"]))).text.contains("cannot open as HDF5"))
    }
}
