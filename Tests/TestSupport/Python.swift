import Foundation

/// Runs Python where it is installed, for tests that ask another implementation.
public enum Python {
    /// Whether python3 can import all of `modules`, separated by commas.
    public static func has(_ modules: String) -> Bool {
        (try? run("import " + modules).status) == 0
    }

    /// Runs `script` with `arguments`; gives its exit status, what it printed, and what it complained of.
    public static func run(
        _ script: String, _ arguments: [String] = []
    ) throws -> (status: Int32, output: String, errors: String) {
        try execute("/usr/bin/env", ["python3", "-c", script] + arguments)
    }

    /// Runs a program to its end, whose thread waits for it.
    public static func execute(
        _ program: String, _ arguments: [String]
    ) throws -> (status: Int32, output: String, errors: String) {
        let scratch = ScratchDirectory()
        let process = try prepared(program, arguments, scratch)
        try process.run()
        process.waitUntilExit()
        return result(process.terminationStatus, scratch)
    }

    /// Runs a program to its end without keeping a thread from other tasks, such as a server that the program talks to.
    public static func concurrently(
        _ program: String, _ arguments: [String]
    ) async throws -> (status: Int32, output: String, errors: String) {
        let scratch = ScratchDirectory()
        let process = try prepared(program, arguments, scratch)
        let status: Int32 = try await withCheckedThrowingContinuation { continuation in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        return result(status, scratch)
    }

    /// As ``run(_:_:)``, without keeping a thread.
    public static func runConcurrently(
        _ script: String, _ arguments: [String] = [], environment: [String] = []
    ) async throws -> (status: Int32, output: String, errors: String) {
        try await concurrently("/usr/bin/env", environment + ["python3", "-c", script] + arguments)
    }

    private static func prepared(_ program: String, _ arguments: [String], _ scratch: ScratchDirectory) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        // Files, not pipes: nothing blocks however much is printed.
        for name in ["output", "errors"] { try scratch.write([], to: name) }
        process.standardOutput = FileHandle(forWritingAtPath: scratch["output"])
        process.standardError = FileHandle(forWritingAtPath: scratch["errors"])
        return process
    }

    private static func result(_ status: Int32, _ scratch: ScratchDirectory) -> (status: Int32, output: String, errors: String) {
        (
            status, String(decoding: scratch.bytes("output"), as: UTF8.self),
            String(decoding: scratch.bytes("errors"), as: UTF8.self)
        )
    }
}
