import Foundation

/// A pipe, whose ends no other process inherits and which close with the object.
public final class TestPipe: @unchecked Sendable {
    // Sendable: `readingEnd` is changed by `closeReading` alone, which the test calls when nobody reads.

    /// The end to write to.
    public let writing: Int32
    private var readingEnd: Int32?

    /// A pipe; a write to it after ``closeReading()`` is an error, not a signal to the test's process.
    public init() {
        var ends: [Int32] = [-1, -1]
        _ = pipe(&ends)
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        (readingEnd, writing) = (ends[0], ends[1])
        signal(SIGPIPE, SIG_IGN)
    }

    deinit {
        closeReading()
        close(writing)
    }

    /// Closes the end that reads.
    public func closeReading() {
        if let end = readingEnd { close(end) }
        readingEnd = nil
    }

    /// Writes until nothing more fits.
    public func fill() {
        let flags = fcntl(writing, F_GETFL)
        _ = fcntl(writing, F_SETFL, flags | O_NONBLOCK)
        let line = [UInt8](repeating: UInt8(ascii: "."), count: 4095) + [10]
        while write(writing, line, line.count) > 0 {}
        while write(writing, line, 1) > 0 {}
        _ = fcntl(writing, F_SETFL, flags)
    }

    /// Waits for the next bytes; empty at the end, once all writers have closed theirs.
    public func read() -> [UInt8] {
        guard let end = readingEnd else { return [] }
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = Glibc.read(end, &buffer, buffer.count)
        return Array(buffer.prefix(max(0, count)))
    }

    /// Reads until `isEnough` of the text so far, or the end.
    public func text(until isEnough: (String) -> Bool) -> String {
        var bytes: [UInt8] = []
        while !isEnough(String(decoding: bytes, as: UTF8.self)) {
            let next = read()
            if next.isEmpty { break }
            bytes += next
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
