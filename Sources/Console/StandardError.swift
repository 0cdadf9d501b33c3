import Glibc

/// Progress, notes, warnings and logs on standard error: they never keep anybody waiting and never end the program.
public enum StandardError {
    // Process-wide, as the descriptor is.
    private static let writer = BackgroundWriter(descriptor: STDERR_FILENO)

    /// Writes `text` as it is, such as a terminal's live line.
    public static func write(_ text: String) { writer.write(text) }

    /// Writes lines for people: control characters other than line breaks are spelled out.
    public static func line(_ text: String) { writer.write(text.printable + "\n") }

    /// Waits until everything is written, at most so long.
    public static func flush(within seconds: Double) { writer.flush(within: seconds) }

    /// Waits shortly, so that what goes to standard output stands after it on a terminal.
    static func settle() { writer.settle() }
}
