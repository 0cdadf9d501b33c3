import Files
import FoundationEssentials
import Glibc
import HDF5

/// A checkpoint that somebody else may have made, as a process of its own reads it.
///
/// libhdf5 trusts what it reads: a file made to do harm has its way with the process that opens it. That process is `kvlab` under a
/// command of its own, with little memory and time, which does nothing but tell what is in the file; this one reads the weights
/// from where it says, having checked that they are there. Where there is no `kvlab` beside the running program, the
/// file is read here.
public enum ForeignCheckpoint {
    /// The command of the process that reads.
    public static let command = "read-hdf5"
    /// After this the reading has hung.
    private static let seconds = 20

    private enum Answer: Codable {
        case listing(CheckpointListing)
        case failure(String)
    }

    /// What is in the file, and its training state's values in order, if they were asked for and read elsewhere.
    static func read(_ file: MappedFile, values: Bool) throws -> (listing: CheckpointListing, values: ForeignValues?) {
        guard let program else { return (try CheckpointListing(path: file.path, byteLimit: file.count), nil) }
        let output = try run([program, command] + (values ? ["--values"] : []) + ["--", file.path], path: file.path)
        func refuse(_ reason: String) -> CheckpointError { .invalid(path: file.path, part: "its structure", reason: reason) }
        let head = try output.bytes(in: 0..<min(8, output.count))
        let length = head.enumerated().reduce(UInt64(0)) { $0 | UInt64($1.element) << (8 * UInt64($1.offset)) }
        guard head.count == 8, length <= UInt64(output.count - 8) else { throw refuse("nothing could be read of it") }
        let json = try output.bytes(in: 8..<8 + Int(length))
        switch try? JSONDecoder().decode(Answer.self, from: Data(json)) {
        case .listing(let listing): return (listing, values ? ForeignValues(file: output, start: 8 + Int(length)) : nil)
        case .failure(let reason): throw refuse(reason)
        case nil: throw refuse("nothing could be read of it")
        }
    }

    /// What the process of its own does: limits itself, reads the file at `path` and writes what it finds to standard output.
    public static func tell(_ path: String, values: Bool) throws {
        let bytes = try MappedFile(path: path).count
        for (resource, value) in [
            // What loops in libhdf5 has a second, large files as much as reading their state takes.
            (RLIMIT_AS, addressSpace + 4 << 30 + 8 * bytes), (RLIMIT_CPU, 1 + bytes >> 26), (RLIMIT_FSIZE, 64 << 20 + 4 * bytes),
            (RLIMIT_CORE, 0),
        ] {
            var limit = rlimit(rlim_cur: rlim_t(value), rlim_max: rlim_t(value))
            _ = unsafe setrlimit(__rlimit_resource_t(resource.rawValue), &limit)
        }
        var answer: Answer
        var arrays: [[Float]] = []
        do throws(HDF5Error) {
            let listing = try CheckpointListing(path: path, byteLimit: bytes)
            for array in values ? listing.trainingArrays : [] {
                arrays.append(try CheckpointListing.trainingValues(array.name, path: path, byteLimit: bytes))
            }
            answer = .listing(listing)
        } catch {
            let text = error.description
            answer = .failure(text.hasPrefix(path + ": ") ? String(text.dropFirst(path.count + 2)) : text)
        }
        let json = try JSONEncoder().encode(answer)
        var output = (0..<8).map { UInt8(truncatingIfNeeded: json.count >> (8 * $0)) }
        output += json
        unsafe output.withUnsafeBytes { unsafe Self.write($0) }
        for array in arrays { unsafe array.withUnsafeBytes { unsafe Self.write($0) } }
    }

    /// Bytes of address space the process has: a sanitizer takes terabytes before it begins.
    private static var addressSpace: Int {
        guard let file = unsafe fopen("/proc/self/statm", "r") else { return 0 }
        defer { _ = unsafe fclose(file) }
        var line = [CChar](repeating: 0, count: 64)
        guard unsafe fgets(&line, 64, file) != nil else { return 0 }
        return unsafe strtol(line, nil, 10) * sysconf(Int32(_SC_PAGESIZE))
    }

    private static func write(_ bytes: UnsafeRawBufferPointer) {
        var written = 0
        while written < bytes.count {
            let count = unsafe Glibc.write(STDOUT_FILENO, bytes.baseAddress.map { unsafe $0 + written }, bytes.count - written)
            // Why, to whoever waits.
            if count <= 0 { exit(errno > 0 && errno < 256 ? errno : 1) }
            written += count
        }
    }

    /// This program where it is `kvlab`, else the one beside it.
    private static let program: String? = {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = unsafe readlink("/proc/self/exe", &buffer, buffer.count - 1)
        guard count > 0 else { return nil }
        let path = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard let slash = path.lastIndex(of: "/") else { return nil }
        let beside = path[...slash] + "kvlab"
        return unsafe access(String(beside), X_OK) == 0 ? String(beside) : nil
    }()

    private static let temporaryDirectory = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"

    /// What `arguments` writes to its standard output, a file that is gone when nobody reads it any more.
    private static func run(_ arguments: [String], path: String) throws -> MappedFile {
        var name = Swift.Array((temporaryDirectory + "/kvlab-read-XXXXXX").utf8CString)
        let descriptor = unsafe mkstemp(&name)
        let output = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard descriptor >= 0 else { throw FileError.system(path: output, action: "create", errno: errno) }
        defer { _ = close(descriptor) }
        // Nothing stays behind, however this ends.
        _ = unsafe unlink(output)
        func failed(_ how: String) -> CheckpointError {
            .invalid(
                path: path, part: "its structure",
                reason: "reading it in a process of its own \(how); it is damaged or made to do harm")
        }
        var child = pid_t()
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        unsafe posix_spawn_file_actions_adddup2(&actions, descriptor, 1)
        unsafe posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var pointers = unsafe arguments.map { unsafe strdup($0) } + [nil]
        defer { for index in unsafe pointers.indices { unsafe free(pointers[index]) } }
        let status = unsafe posix_spawn(&child, arguments[0], &actions, nil, &pointers, environ)
        guard status == 0 else { throw failed("could not begin (system error \(status))") }
        guard let ended = wait(for: child) else { throw failed("did not end within \(seconds) s") }
        // The low seven bits are the signal that ended it, the next byte what it exited with.
        guard ended & 0x7f == 0 else { throw failed("was ended by signal \(ended & 0x7f)") }
        let code = ended >> 8 & 0xff
        if [ENOSPC, EDQUOT, EIO].contains(code) { throw FileError.system(path: output, action: "write", errno: code) }
        guard code == 0 else { throw failed("failed") }
        return try MappedFile(descriptor: descriptor, path: output)
    }

    /// How a child ended; nil where it had to be killed.
    private static func wait(for child: pid_t) -> Int32? {
        var status: Int32 = 0
        for _ in 0..<seconds * 1000 {
            let found = unsafe waitpid(child, &status, WNOHANG)
            if found == child { return status }
            // Somebody else has waited for it: what it wrote says how it went.
            if found < 0, errno != EINTR { return 0 }
            usleep(1000)
        }
        kill(child, SIGKILL)
        _ = unsafe waitpid(child, &status, 0)
        return nil
    }
}

/// Training state that a process of its own has read, one array behind the other.
struct ForeignValues {
    let file: MappedFile
    private var position: Int

    init(file: MappedFile, start: Int) { (self.file, position) = (file, start) }

    /// The next `count` values.
    mutating func next(_ count: Int) throws -> [Float] {
        guard count >= 0, count <= (file.count - position) / 4 else {
            throw FileError.outOfRange(path: file.path, offset: position, count: 4 * max(count, 0), size: file.count)
        }
        let bytes = try file.bytes(in: position..<position + 4 * count)
        position += 4 * count
        return unsafe bytes.withUnsafeBytes { bytes in
            (0..<count).map { unsafe bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }
}
