import Files
import FoundationEssentials
import Glibc
import HDF5

/// The confined child process that lists a checkpoint's contents; libhdf5 runs in no other process.
///
/// libhdf5 trusts its input, and the seal is a checksum that a hostile file can have too: such a file may take over the
/// process that opens it. The child is `kvlab` under a command of its own. It inherits the open file and a pipe, maps the
/// file, enters the ``Sandbox``, and lists the names, shapes and offsets of the arrays. The parent checks the list against
/// the file and reads the arrays itself, by their digests.
public enum ListingProcess {
    /// The command under which `kvlab` is the child process.
    public static let command = "read-hdf5"

    /// The deadline of the child, generous on a busy machine.
    private static let seconds = 20
    /// The largest listing, in bytes.
    private static let answerLimit = 16 << 20
    /// The address space of libhdf5 and the answer, beside the mapped file.
    private static let memory = 512 << 20

    private enum Answer: Codable {
        case listing(CheckpointListing)
        case failure(String)
    }

    /// The limit of processor seconds for a file of `bytes`, several times a sound file's need, most of which is the
    /// process's start.
    private static func processorSeconds(_ bytes: Int) -> Double { min(0.25 + Double(bytes) / 4e9, 10) }

    // MARK: The parent process

    /// The listing of `file`, whose seal has been verified; throws ``CheckpointError``.
    static func listing(of file: RegularFile) throws(CheckpointError) -> CheckpointListing {
        let output = try run(on: file)
        func refused(_ reason: String) -> CheckpointError { .invalid(path: file.path, part: "its structure", reason: reason) }
        switch try? JSONDecoder().decode(Answer.self, from: Data(output)) {
        case .listing(let listing): return listing
        case .failure(let reason): throw refused(reason)
        case nil: throw refused("nothing could be read of it")
        }
    }

    /// The program of the child: this one if it is `kvlab`, even if replaced on disk meanwhile, else the `kvlab` beside it.
    private static let program: (path: String, isThere: Bool) = {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = unsafe readlink("/proc/self/exe", &buffer, buffer.count - 1)
        let path = String(decoding: buffer[..<max(count, 0)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let name = path[(path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex)...]
        if name.hasPrefix("kvlab"), !name.hasSuffix(".xctest") { return ("/proc/self/exe", true) }
        let beside = path.dropLast(name.count) + "kvlab"
        return (String(beside), unsafe access(String(beside), X_OK) == 0)
    }()

    /// The child's answer about `file`.
    private static func run(on file: RegularFile) throws(CheckpointError) -> [UInt8] {
        func unreadable(_ reason: String) -> CheckpointError { .unreadable(path: file.path, reason: reason) }
        guard program.isThere else {
            throw unreadable("a checkpoint is read by a process of 'kvlab', which should be \(program.path) and is not there")
        }
        let (output, input): (Int32, Int32)
        do throws(FileError) { (output, input) = try Pipe.open() } catch { throw unreadable(error.description) }
        defer { close(output) }
        let started = Result { () throws(CheckpointError) in try start(file, output: input) }
        // The pipe ends with the child, its only writer.
        close(input)
        let child = try started.get()
        let clock = ContinuousClock()
        let deadline = clock.now + .seconds(seconds)
        var bytes: [UInt8] = []
        let ended = read(output, until: deadline, into: &bytes)
        if !ended { kill(child, SIGKILL) }
        let status = wait(for: child, until: deadline)
        func failed(_ how: String) -> CheckpointError {
            .invalid(
                path: file.path, part: "its structure",
                reason: "reading it in a process of its own \(how); it is damaged or made to do harm")
        }
        guard bytes.count <= answerLimit else { throw failed("told more than \(answerLimit) bytes") }
        guard ended, let status else { throw failed("did not end within \(seconds) s") }
        // The low seven bits are the signal that ended the process, the next byte its exit status.
        let signal = status & 0x7f
        guard signal != SIGPROF, signal != SIGXCPU else { throw failed("took more processor time than a sound file does") }
        guard signal == 0 else { throw failed("was ended by signal \(signal)") }
        guard status >> 8 & 0xff == 0 else { throw failed("failed") }
        return bytes
    }

    /// Starts the child with `file` as standard input and `output` as standard output.
    private static func start(_ file: RegularFile, output: Int32) throws(CheckpointError) -> pid_t {
        var child = pid_t()
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_adddup2(&actions, file.descriptor, 0)
        unsafe posix_spawn_file_actions_adddup2(&actions, output, 1)
        unsafe posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        // Threads of a pool block signals, those of the child's limits among them.
        var (none, all) = (sigset_t(), sigset_t())
        unsafe sigemptyset(&none)
        unsafe sigfillset(&all)
        unsafe posix_spawnattr_setsigmask(&attributes, &none)
        unsafe posix_spawnattr_setsigdefault(&attributes, &all)
        // A process group of its own: Ctrl-C is the parent's.
        let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP
        unsafe posix_spawnattr_setflags(&attributes, Int16(flags))
        var variables = ProcessInfo.processInfo.environment
        // No further threads, which would use processor time and would have to be confined too; no backtracer after a crash.
        variables["OPENBLAS_NUM_THREADS"] = "1"
        variables["SWIFT_BACKTRACE"] = "enable=no"
        var arguments = unsafe copies(["kvlab", command])
        var environment = unsafe copies(variables.map { "\($0.key)=\($0.value)" })
        defer {
            unsafe free(arguments)
            unsafe free(environment)
        }
        let code = unsafe posix_spawn(&child, program.path, &actions, &attributes, &arguments, &environment)
        guard code == 0 else {
            throw .unreadable(
                path: file.path, reason: "the process that reads it could not begin: \(unsafe String(cString: strerror(code)))")
        }
        return child
    }

    /// C copies of `texts`, terminated by nil.
    private static func copies(_ texts: [String]) -> [UnsafeMutablePointer<CChar>?] {
        let copies = unsafe texts.map { text in unsafe strdup(text) }
        return unsafe copies + [nil]
    }

    private static func free(_ copies: [UnsafeMutablePointer<CChar>?]) {
        for index in unsafe copies.indices { unsafe Glibc.free(copies[index]) }
    }

    /// Reads to the end of input, at most a byte beyond the limit; false if that or `deadline` was reached.
    private static func read(_ descriptor: Int32, until deadline: ContinuousClock.Instant, into bytes: inout [UInt8]) -> Bool {
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count <= answerLimit {
            let left = (deadline - ContinuousClock.now) / .milliseconds(1)
            guard left > 0 else { return false }
            var wanted = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&wanted, 1, Int32(left) + 1) > 0 else { continue }
            let count = unsafe Glibc.read(descriptor, &piece, min(piece.count, answerLimit + 1 - bytes.count))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return true }
            bytes += piece[..<count]
        }
        return false
    }

    /// The exit status of `child`; nil if it had to be killed.
    private static func wait(for child: pid_t, until deadline: ContinuousClock.Instant) -> Int32? {
        var status: Int32 = 0
        while true {
            let found = unsafe waitpid(child, &status, WNOHANG)
            if found == child { return status }
            // The child has been reaped elsewhere: its answer tells the outcome.
            if found < 0, errno != EINTR { return 0 }
            if ContinuousClock.now >= deadline { break }
            usleep(200)
        }
        kill(child, SIGKILL)
        _ = unsafe waitpid(child, &status, 0)
        return nil
    }

    // MARK: The child process

    /// The child's work: lists the file on standard input to standard output.
    public static func tell() throws {
        var status = stat()
        guard unsafe fstat(STDIN_FILENO, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw FileError.notRegular(path: "standard input")
        }
        let file = try MappedFile(descriptor: STDIN_FILENO, count: Int(status.st_size), path: "standard input")
        try Sandbox.enter(memory: memory, seconds: processorSeconds(file.count))
        let name = "the file"
        let answer: Answer
        do {
            answer = .listing(try unsafe file.withUnsafeBytes { try unsafe CheckpointListing(image: $0, path: name) })
        } catch {
            let text = "\(error)"
            answer = .failure(text.hasPrefix(name + ": ") ? String(text.dropFirst(name.count + 2)) : text)
        }
        let output = Array(try CanonicalJSON.text(of: answer).utf8)
        var written = 0
        while written < output.count {
            let count = unsafe output.withUnsafeBytes {
                unsafe write(STDOUT_FILENO, $0.baseAddress! + written, $0.count - written)
            }
            if count < 0, errno == EINTR { continue }
            // The parent has closed the pipe.
            guard count > 0 else { exit(1) }
            written += count
        }
    }

    /// The capabilities left to the confined child, a line each.
    public static func report() throws -> String { try Sandbox.report(memory: memory, seconds: processorSeconds(0)) }
}
