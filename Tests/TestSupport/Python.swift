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

    /// Runs a program to its end.
    public static func execute(
        _ program: String, _ arguments: [String]
    ) throws -> (status: Int32, output: String, errors: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        let scratch = ScratchDirectory()
        // Files, not pipes: nothing blocks however much is printed.
        for name in ["output", "errors"] { try scratch.write([], to: name) }
        process.standardOutput = FileHandle(forWritingAtPath: scratch["output"])
        process.standardError = FileHandle(forWritingAtPath: scratch["errors"])
        try process.run()
        process.waitUntilExit()
        return (
            process.terminationStatus, String(decoding: scratch.bytes("output"), as: UTF8.self),
            String(decoding: scratch.bytes("errors"), as: UTF8.self)
        )
    }
}
