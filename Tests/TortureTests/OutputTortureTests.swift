import Foundation
import TestSupport
import Testing

/// Promise 1, of what is written for people and programs: wherever the standard streams lead, no command traps, hangs or ends
/// by a signal, a result that could not be written exits non-zero, and what was only said changes nothing.
@Suite(.serialized, .timeLimit(.minutes(2))) struct OutputTortureTests {
    /// Where a standard stream leads.
    enum Sink: String, CaseIterable, Sendable {
        case full = "a full disk"
        case closed = "a pipe without a reader"
        case unread = "a full pipe that nobody reads"
    }

    /// A stream to `sink`, and the pipe that has to stay meanwhile.
    private func open(_ sink: Sink) throws -> (handle: FileHandle, pipe: TestPipe?) {
        guard sink != .full else { return (try #require(FileHandle(forWritingAtPath: "/dev/full")), nil) }
        let pipe = TestPipe()
        if sink == .closed { pipe.closeReading() } else { pipe.fill() }
        return (FileHandle(fileDescriptor: pipe.writing), pipe)
    }

    /// How a command ended, nil where it hung; what it wrote to the streams that led to files.
    private struct Outcome {
        var status: Int32?
        var output = ""
        var error = ""
    }

    private func run(
        _ arguments: [String], output: Sink? = nil, error: Sink? = nil, in folder: ScratchDirectory, seconds: Int = 60
    ) throws -> Outcome {
        let process = try Tool.process(arguments, in: folder.path)
        let scratch = ScratchDirectory()
        for name in ["stdout", "stderr"] { try scratch.write([], to: name) }
        let sinks = (try output.map(open), try error.map(open))
        process.standardOutput = sinks.0?.handle ?? FileHandle(forWritingAtPath: scratch["stdout"])
        process.standardError = sinks.1?.handle ?? FileHandle(forWritingAtPath: scratch["stderr"])
        try process.run()
        let end = ContinuousClock.now + .seconds(seconds)
        while process.isRunning, .now < end { usleep(1000) }
        guard !process.isRunning else {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
            return Outcome(status: nil)
        }
        withExtendedLifetime(sinks) {}
        return Outcome(
            status: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
            output: String(decoding: scratch.bytes("stdout"), as: UTF8.self),
            error: String(decoding: scratch.bytes("stderr"), as: UTF8.self))
    }

    /// Models, texts and runs for all commands, made once.
    private static let folder = Result {
        let folder = ScratchDirectory()
        let text = (0..<600).map { "line \($0 % 17) of \($0 % 5) and \($0 % 3)\n" }.joined()
        try folder.write(Array(text.utf8), to: "text.txt")
        try folder.write(Array("[108,105,110,101]\n".utf8), to: "ids.json")
        let pair = #"{"sentence_good": "line 1 of 1", "sentence_bad": "of line 1 1"}"# + "\n"
        try folder.write(Array(pair.utf8), to: "pairs.jsonl")
        let recipe = """
            {"name": "tiny", "tokenizer": {"kind": "byte"}, "data": {"files": ["text.txt"]},
             "model": {"dim": 16, "layers": 2, "heads": 4, "ffn": 24, "maxSeq": 4096},
             "train": {"steps": 4, "batch": 2, "seq": 32, "learningRate": 0.003}}
            """
        try folder.write(Array(recipe.utf8), to: "recipe.json")
        for arguments in [
            ["train", "recipe.json", "--out", "runs/a"],
            ["train", "recipe.json", "--set", "train.learningRate=0.001", "--out", "runs/b"],
            ["convert", "runs/a/model.h5", "--kv-heads", "2", "--method", "mean", "--out", "runs/two.h5"],
            ["export", "runs/a/model.h5", "--format", "hf", "--out", "hf"],
            ["tokenizer", "train", "--text", "text.txt", "--vocab-size", "260", "--out", "bpe.json"],
        ] {
            let made = try Tool.run(arguments, in: folder.path)
            try #require(made.status == 0, "\(arguments): \(made.error)")
        }
        return folder
    }

    /// Every command that prints, as it is used; OUT stands for a path that is not there yet.
    private static let commands = [
        "--help", "--version", "serve --help", "--generate-completion-script bash",
        "tokenizer train --text text.txt --vocab-size 260 --out OUT", "tokenizer encode text.txt --tokenizer bpe.json",
        "tokenizer encode text.txt --tokenizer bpe.json --count", "tokenizer decode ids.json --tokenizer bpe.json",
        "import hf --out OUT", "import hf --out OUT --json", "train recipe.json --out OUT", "train recipe.json --out OUT --json",
        "train recipe.json --dry-run", "convert runs/a/model.h5 --kv-heads 1 --method mean --out OUT",
        "convert runs/a/model.h5 --kv-heads 1 --method mean --out OUT --json",
        "eval ppl runs/a/model.h5 --text text.txt --window 32", "eval ppl runs/a/model.h5 --text text.txt --window 32 --json",
        "eval blimp runs/a/model.h5 --data pairs.jsonl", "eval blimp runs/a/model.h5 --data pairs.jsonl --json",
        "compare runs/a/model.h5 runs/two.h5 --text text.txt --window 32",
        "compare runs/a/model.h5 runs/two.h5 --text text.txt --window 32 --json", "runs list", "runs list --json", "runs show a",
        "runs show a --json", "runs diff a b", "runs diff a b --json", "runs lineage a", "runs lineage a --json", "runs gc",
        "runs gc --json", "generate runs/a/model.h5 --prompt line --max-tokens 20",
        "generate runs/a/model.h5 --prompt line --max-tokens 20 --json", "verify runs/a/model.h5 --tokens 20",
        "capacity runs/a/model.h5 --context 64 --kv-memory 1MiB", "capacity runs/a/model.h5 --context 64 --kv-memory 1MiB --json",
        "export runs/a/model.h5 --format gguf --out OUT", "export runs/a/model.h5 --format gguf --out OUT --json",
        "inspect runs/a/model.h5", "inspect runs/a/model.h5 --json", "estimate hf", "estimate hf --json",
        "bench engine runs/a/model.h5 --batch 1 --prompt 8 --tokens 4 --rounds 1 --kv-memory 1MiB",
    ]

    /// All of them, or for the share of each test run those that print for people, which print JSON by the same function, and one
    /// that prints JSON.
    private static let printing = Torture.isWhole ? commands : commands.filter { !$0.hasSuffix("--json") } + ["runs list --json"]

    /// All of them, or those that have something to say beside their results.
    private static let saying =
        Torture.isWhole
        ? commands
        : commands.filter { command in
            ["tokenizer", "train recipe.json --out OUT", "convert", "eval", "compare"].contains { command.hasPrefix($0) }
                && !command.hasSuffix("--json")
        }

    private static func arguments(_ command: String, _ folder: ScratchDirectory) -> [String] {
        command.split(separator: " ").map { $0 == "OUT" ? folder.path + "/" + UUID().uuidString : String($0) }
    }

    @Test(arguments: printing)
    func `a command whose output cannot be written says so and exits non-zero`(command: String) throws {
        let folder = try Self.folder.get()
        let full = try run(Self.arguments(command, folder), output: .full, in: folder)
        #expect(full.status.map { $0 > 0 } == true, "\(full)")
        #expect(full.error.contains("standard output could not be written: No space left on device"), "\(full)")
        // A reader that has gone wants no explanation.
        let closed = try run(Self.arguments(command, folder), output: .closed, in: folder)
        #expect(closed.status == 128 + SIGPIPE && !closed.error.contains("Error"), "\(closed)")
    }

    @Test(arguments: saying)
    func `a command whose progress and notes cannot be written does its work all the same`(command: String) throws {
        let folder = try Self.folder.get()
        for sink in Sink.allCases {
            let outcome = try run(Self.arguments(command, folder), error: sink, in: folder)
            #expect(outcome.status == 0 && !outcome.output.isEmpty, "\(sink.rawValue): \(outcome)")
        }
    }

    @Test(arguments: Sink.allCases)
    func `an error that cannot be said has its exit status still`(sink: Sink) throws {
        let folder = try Self.folder.get()
        #expect(try run(["inspect", "nothing.h5"], error: sink, in: folder).status == 1)
        #expect(try run(["inspect", "--nothing"], error: sink, in: folder).status == 64)
        #expect(try run(["inspect", "runs/a/model.h5"], output: .full, error: sink, in: folder).status == 1)
    }

    @Test func `streams that are closed at the start are never another file's`() throws {
        let folder = try Self.folder.get()
        let tool = try #require(Tool.path)
        let whole = try Python.execute(
            "/bin/sh", ["-c", "cd \(folder.path); '\(tool)' train recipe.json --out closed 0<&- 1>&- 2>&-; echo $?"])
        // The line that says where the model is could not be written, and the model is whole.
        #expect(whole.output == "1\n", "\(whole)")
        #expect(folder.bytes("closed/model.h5") == folder.bytes("runs/a/model.h5"))
    }

    @Test func `a reader that is only slow gets all of the output`() async throws {
        let folder = try Self.folder.get()
        let pipe = TestPipe()
        pipe.fill()
        let process = try Tool.process(["inspect", "runs/a/model.h5", "--pretty"], in: folder.path)
        process.standardOutput = FileHandle(fileDescriptor: pipe.writing)
        try process.run()
        try await Task.sleep(for: .milliseconds(300))
        #expect(process.isRunning)
        let text = pipe.text { $0.hasSuffix("\n}\n") }
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        let json = text.drop { $0 == "." || $0 == "\n" }
        #expect(try JSONSerialization.jsonObject(with: Data(json.utf8)) is [String: Any])
    }

    @Test(arguments: [[], ["--json"]])
    func `a long generation ends soon after its reader has gone`(options: [String]) throws {
        let folder = try Self.folder.get()
        let pipe = TestPipe()
        let process = try Tool.process(
            ["generate", "runs/a/model.h5", "--prompt", "line", "--max-tokens", "4000", "--temperature", "0"] + options,
            in: folder.path)
        process.standardOutput = FileHandle(fileDescriptor: pipe.writing)
        try process.run()
        if options.isEmpty { _ = pipe.text { $0.count > 20 } }
        pipe.closeReading()
        process.waitUntilExit()
        #expect(process.terminationReason == .exit && process.terminationStatus == 128 + SIGPIPE)
    }

    // MARK: serve

    /// One request on a connection of its own; gives the answer's status, or 0 where none came within ten seconds.
    private func ask(_ port: Int, _ request: String) -> Int {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var wait = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let isConnected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        let bytes = Array(request.utf8)
        guard isConnected, send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else { return 0 }
        var answer = [UInt8](repeating: 0, count: 12)
        guard recv(socket, &answer, answer.count, Int32(MSG_WAITALL)) == answer.count else { return 0 }
        return Int(String(decoding: answer.suffix(3), as: UTF8.self)) ?? 0
    }

    private func health(_ port: Int) -> Int { ask(port, "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n") }

    private func completion(_ port: Int) -> Int {
        let body = #"{"model":"model","prompt":"line","max_tokens":4}"#
        return ask(
            port,
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
                + "\(body.utf8.count)\r\nConnection: close\r\n\r\n" + body)
    }

    /// A port that was free a moment ago.
    private func freePort() throws -> Int {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = bind(socket, $0, size)
                _ = getsockname(socket, $0, &size)
            }
        }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    @Test(arguments: Sink.allCases)
    func `a server whose log and address nobody takes goes on answering`(sink: Sink) throws {
        let folder = try Self.folder.get()
        let port = try freePort()
        let process = try Tool.process(
            ["serve", "runs/a/model.h5", "--port", "\(port)", "--kv-memory", "4MiB", "--log", "text", "--verbose"],
            in: folder.path)
        let (output, error) = (try open(sink), try open(sink))
        (process.standardOutput, process.standardError) = (output.handle, error.handle)
        try process.run()
        defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
        let end = ContinuousClock.now + .seconds(60)
        while health(port) == 0, process.isRunning, .now < end { usleep(10_000) }
        for _ in 0..<Torture.count(100) { try #require(health(port) == 200) }
        for _ in 0..<5 { try #require(completion(port) == 200) }
        // The log has waited for its reader.
        if sink == .unread, let pipe = error.pipe {
            #expect(pipe.text { $0.contains("POST /v1/completions 200") }.contains("GET /health 200"))
        }
        kill(process.processIdentifier, SIGTERM)
        let stop = ContinuousClock.now + .seconds(30)
        while process.isRunning, .now < stop { usleep(10_000) }
        #expect(!process.isRunning)
        if !process.isRunning { #expect(process.terminationReason == .exit && process.terminationStatus == 0) }
    }

    // MARK: A full disk

    /// A small file system, full at will.
    private final class SmallDisk {
        let scratch = ScratchDirectory()

        /// Whether this process may mount one.
        static let isAllowed: Bool = { (try? SmallDisk(megabytes: 1)) != nil }()
        static let refused = "this process may not mount a tmpfs"

        init(megabytes: Int) throws {
            let mounted = try Python.execute(
                "/bin/mount", ["-t", "tmpfs", "-o", "size=\(megabytes)m", "none", scratch.path])
            try #require(mounted.status == 0, "\(mounted.errors)")
        }

        deinit { _ = try? Python.execute("/bin/umount", ["-l", scratch.path]) }

        /// Takes all that is free.
        func fill() throws {
            let file = Glibc.open(scratch["fill"], O_WRONLY | O_CREAT, 0o600)
            defer { close(file) }
            let block = [UInt8](repeating: 1, count: 65536)
            var size = block.count
            while size > 0 { if write(file, block, size) < 0 { size /= 2 } }
        }

        func free() throws { try FileManager.default.removeItem(atPath: scratch["fill"]) }
    }

    @Test(.enabled(if: SmallDisk.isAllowed, "\(SmallDisk.refused)"))
    func `a run whose disk fills up says so, and resumed it ends as if nothing had been`() throws {
        let folder = try Self.folder.get()
        let disk = try SmallDisk(megabytes: 8)
        let arguments = ["train", "recipe.json", "--set", "train.steps=640", "--set", "train.checkpointEvery=40"]
        let whole = try run(arguments + ["--out", "whole"], in: folder)
        #expect(whole.status == 0, "\(whole)")
        let process = try Tool.process(arguments + ["--out", disk.scratch["run"]], in: folder.path)
        let log = ScratchDirectory()
        try log.write([], to: "stderr")
        process.standardError = FileHandle(forWritingAtPath: log["stderr"])
        try process.run()
        while !FileManager.default.fileExists(atPath: disk.scratch["run/checkpoint.h5"]), process.isRunning { usleep(500) }
        try disk.fill()
        process.waitUntilExit()
        let error = String(decoding: log.bytes("stderr"), as: UTF8.self)
        #expect(process.terminationReason == .exit && process.terminationStatus == 1, "\(error)")
        #expect(error.contains("No space left on device") && error.contains(disk.scratch["run"]), "\(error)")
        // Whole lines alone.
        #expect(disk.scratch.bytes("run/metrics.jsonl").last == 10)
        try disk.free()
        let resumed = try run(arguments + ["--out", disk.scratch["run"], "--resume"], in: folder)
        #expect(resumed.status == 0, "\(resumed)")
        #expect(disk.scratch.bytes("run/model.h5") == folder.bytes("whole/model.h5"))
    }

    @Test(.enabled(if: SmallDisk.isAllowed, "\(SmallDisk.refused)"))
    func `runs on a full disk are listed, with a warning that says what to do`() throws {
        let folder = try Self.folder.get()
        let disk = try SmallDisk(megabytes: 4)
        try FileManager.default.copyItem(atPath: folder["runs/a"], toPath: disk.scratch["a"])
        try disk.fill()
        for options in [[], ["--rebuild"], ["--json"]] {
            let listed = try run(["runs", "list", "--runs", disk.scratch.path] + options, in: folder)
            #expect(listed.status == 0 && listed.output.contains("finished"), "\(listed)")
            #expect(listed.error.contains("registry.sqlite: the index of the runs cannot be written: "), "\(listed)")
            #expect(!listed.error.contains("SQLite error") && !listed.error.contains("INSERT"), "\(listed)")
        }
        try disk.free()
        let again = try run(["runs", "list", "--runs", disk.scratch.path], in: folder)
        #expect(again.status == 0 && again.error.isEmpty, "\(again)")
    }

    @Test(.enabled(if: SmallDisk.isAllowed, "\(SmallDisk.refused)"))
    func `a log that has room again says how many lines it has missed`() throws {
        let folder = try Self.folder.get()
        let disk = try SmallDisk(megabytes: 1)
        let port = try freePort()
        try disk.scratch.write([], to: "log")
        let process = try Tool.process(
            ["serve", "runs/a/model.h5", "--port", "\(port)", "--kv-memory", "4MiB", "--log", "text"], in: folder.path)
        process.standardError = FileHandle(forWritingAtPath: disk.scratch["log"])
        try process.run()
        defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
        while health(port) == 0, process.isRunning { usleep(10_000) }
        // The first line is on the disk before it fills up, so that the log has a page with room for some 4 KiB still.
        while disk.scratch.bytes("log").last != 10, process.isRunning { usleep(1_000) }
        try disk.fill()
        for _ in 0..<300 { try #require(health(port) == 200) }
        try disk.free()
        for _ in 0..<3 { try #require(health(port) == 200) }
        kill(process.processIdentifier, SIGTERM)
        process.waitUntilExit()
        #expect(process.terminationReason == .exit && process.terminationStatus == 0)
        let lines = String(decoding: disk.scratch.bytes("log"), as: UTF8.self).split(separator: "\n")
        let notices = lines.filter { $0.hasPrefix("kvlab: ") && $0.hasSuffix(" could not be written here") }
        #expect(notices.count == 1 && lines.count > 4, "\(lines)")
    }
}
