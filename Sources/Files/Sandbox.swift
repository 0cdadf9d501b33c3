import CFiles
import Glibc

/// Restricts the process, permanently, before it reads untrusted input.
///
/// Resource limits bound memory, processor time and descriptors. A system call filter (seccomp-bpf) then allows only computation
/// in memory and writing to standard output and standard error: no opening, no network, no new program or process, no signal, no
/// executable memory.
public enum Sandbox {
    /// Enters the sandbox: only descriptors 0, 1 and 2 stay open, and everything needed later must be in memory.
    ///
    /// On a kernel built without filters only the limits apply, under which nothing can be opened either. Where the kernel has
    /// filters and refuses this one, the error is `FileError.system`.
    ///
    /// - Parameters:
    ///   - memory: bytes of address space beyond those already in use.
    ///   - seconds: processor time from now on, after which the process ends by SIGPROF.
    /// - Returns: whether the filter is on.
    @discardableResult
    public static func enter(memory: Int, seconds: Double) throws -> Bool {
        kvlab_limit(addressSpace + memory, seconds)
        let code = kvlab_confine()
        guard code == 0 || code == ENOSYS else {
            throw FileError.system(path: "this process", action: "be confined", errno: code)
        }
        return code == 0
    }

    /// The operations still allowed after entering the sandbox, a line each: for inspecting a machine, and for tests.
    public static func report(memory: Int, seconds: Double) throws -> String {
        let isFiltered = try enter(memory: memory, seconds: seconds)
        guard isFiltered else { return "filter: none, the kernel has no seccomp-bpf; limits alone" }
        var lines = ["filter: on"]
        var code: Int32 = 0
        while let name = unsafe kvlab_attempt(Int32(lines.count - 1), &code) {
            let outcome = unsafe code == 0 ? "allowed" : String(cString: strerror(code))
            lines.append(unsafe "\(String(cString: name)): \(outcome)")
        }
        return lines.joined(separator: "\n")
    }

    /// Bytes of address space in use: a sanitizer takes terabytes before it begins.
    private static var addressSpace: Int {
        // Files in /proc report no size.
        guard let file = try? RegularFile(path: "/proc/self/statm") else { return 0 }
        var text = [UInt8](repeating: 0, count: 64)
        let count = unsafe pread(file.descriptor, &text, text.count, 0)
        guard let pages = text.prefix(max(count, 0)).split(separator: 0x20).first else { return 0 }
        return (Int(String(decoding: pages, as: UTF8.self)) ?? 0) * sysconf(Int32(_SC_PAGESIZE))
    }
}
