import Foundation
import Testing

/// The built `kvlab`, beside the test bundle.
public enum Tool {
    /// What one run of it gave.
    public struct Outcome: Sendable {
        /// The exit status; for a run that a signal ended, the negative signal.
        public var status: Int32
        public var output: String
        public var error: String
    }

    /// The path of the program, nil where it was not built.
    public static let path: String? = {
        let folders =
            [(try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""]
            + ProcessInfo.processInfo.arguments
        return folders.map { URL(fileURLWithPath: $0).deletingLastPathComponent() }.flatMap {
            [$0, $0.deletingLastPathComponent()]
        }
        .map { $0.appending(path: "kvlab").path }.first { FileManager.default.isExecutableFile(atPath: $0) }
    }()

    /// A process that runs `arguments` in `folder` and is not started yet; its standard streams go to nowhere.
    public static func process(_ arguments: [String], in folder: String) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: try #require(path))
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        return process
    }

    /// Runs `arguments` in `folder` to the end.
    ///
    /// With `fileBytes` no file may become larger than so many bytes (RLIMIT_FSIZE, in blocks of 512).
    public static func run(_ arguments: [String], in folder: String, fileBytes: Int? = nil) throws -> Outcome {
        let process = try process(arguments, in: folder)
        if let fileBytes {
            process.executableURL = URL(fileURLWithPath: "/bin/sh")
            process.arguments = ["-c", "ulimit -f \(fileBytes / 512); exec \"$0\" \"$@\"", try #require(path)] + arguments
        }
        let files = try OutputFiles(of: process)
        try process.run()
        process.waitUntilExit()
        return files.outcome(of: process)
    }

    /// Runs `arguments` in `folder` to the end, of `program` in place of `kvlab` where one is given, without keeping a thread.
    public static func finish(_ arguments: [String], of program: String? = nil, in folder: String) async throws -> Outcome {
        let process = try process(arguments, in: folder)
        if let program { process.executableURL = URL(fileURLWithPath: program) }
        let files = try OutputFiles(of: process)
        let (ends, end) = AsyncStream<Void>.makeStream()
        process.terminationHandler = { _ in end.finish() }
        try process.run()
        for await _ in ends {}
        return files.outcome(of: process)
    }

    /// Files, not pipes, for a process's output: nothing blocks however much is written.
    private struct OutputFiles {
        private let scratch = ScratchDirectory()

        init(of process: Process) throws {
            for name in ["stdout", "stderr"] { try scratch.write([], to: name) }
            process.standardOutput = FileHandle(forWritingAtPath: scratch["stdout"])
            process.standardError = FileHandle(forWritingAtPath: scratch["stderr"])
        }

        func outcome(of process: Process) -> Outcome {
            Outcome(
                status: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
                output: String(decoding: scratch.bytes("stdout"), as: UTF8.self),
                error: String(decoding: scratch.bytes("stderr"), as: UTF8.self))
        }
    }
}
