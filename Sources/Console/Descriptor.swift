import Glibc

/// A descriptor that this process shares with others, such as a standard stream.
///
/// It is never set to O_NONBLOCK: that would hold for every process that has it.
struct Descriptor {
    let number: Int32

    /// Writes all of `bytes`, blocking, or as many as an error allows.
    ///
    /// Returns the number of bytes written, and the error number that ended the write early, or 0.
    func write(_ bytes: [UInt8]) -> (count: Int, errno: Int32) {
        var done = 0
        while done < bytes.count {
            let written = unsafe bytes.withUnsafeBytes { bytes in
                unsafe bytes.baseAddress.map { unsafe Glibc.write(number, $0 + done, bytes.count - done) } ?? 0
            }
            if written < 0 {
                if errno == EINTR { continue }
                // Another process made the descriptor non-blocking.
                if errno == EAGAIN {
                    wait()
                    continue
                }
                return (done, errno)
            }
            done += written
        }
        return (done, 0)
    }

    /// Waits until the descriptor is writable or in error.
    private func wait() {
        var request = pollfd(fd: number, events: Int16(POLLOUT), revents: 0)
        _ = unsafe poll(&request, 1, -1)
    }

    /// Whether the reader of the pipe or connection has closed it.
    var hasLostReader: Bool {
        var request = pollfd(fd: number, events: 0, revents: 0)
        return unsafe poll(&request, 1, 0) == 1 && Int32(request.revents) & POLLERR != 0
    }
}
