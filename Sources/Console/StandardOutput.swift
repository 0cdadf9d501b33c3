import Glibc

/// Results on standard output: a write that fails is an error, which ends the command.
public enum StandardOutput {
    private static let descriptor = Descriptor(number: STDOUT_FILENO)
    private static let announcements = BackgroundWriter(descriptor: STDOUT_FILENO)

    /// Writes all of `bytes` as they are, blocking.
    public static func write(_ bytes: [UInt8]) throws(OutputError) {
        StandardError.settle()
        let code = descriptor.write(bytes).errno
        guard code == 0 else { throw .unwritable(errno: code) }
    }

    /// Writes `text` as it is.
    public static func write(_ text: String) throws(OutputError) { try write(Array(text.utf8)) }

    /// Throws where the reader of standard output has closed it; checked before results are computed.
    public static func checkReader() throws(OutputError) {
        guard !descriptor.hasLostReader else { throw .unwritable(errno: EPIPE) }
    }

    /// Writes a line asynchronously and drops it where it cannot be written: a server's news, without which it goes on.
    public static func announce(_ text: String) {
        StandardError.settle()
        announcements.write(text.printable + "\n")
    }

    /// Throws errors of earlier writes that are reported on closing, as by network file systems; called at the end.
    public static func finish() throws(OutputError) {
        announcements.flush(within: 1)
        let copy = dup(STDOUT_FILENO)
        guard copy >= 0, close(copy) != 0, errno != EINTR else { return }
        throw .unwritable(errno: errno)
    }
}

/// The standard streams as a whole.
public enum StandardStreams {
    /// Makes a pipe without a reader an error to the writer instead of the end of the process, and keeps the numbers of
    /// closed streams from being given to files that are opened later. Called once, before anything else.
    public static func prepare() {
        signal(SIGPIPE, SIG_IGN)
        for number in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(number, F_GETFD) < 0 {
            // For reading alone: what is written there is an error, as it was.
            _ = unsafe open("/dev/null", O_RDONLY)
        }
    }
}
