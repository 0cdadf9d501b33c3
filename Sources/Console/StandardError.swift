import Glibc

/// Progress, notes, warnings and logs on standard error: writes never block and never end the program.
public enum StandardError {
    // Process-wide, as the descriptor is.
    private static let writer = BackgroundWriter(descriptor: STDERR_FILENO)

    /// Writes `text` as it is, such as a terminal's live line.
    public static func write(_ text: String) { writer.write(text) }

    /// Writes lines for people: control characters other than line breaks are spelled out.
    public static func line(_ text: String) { writer.write(text.printable + "\n") }

    /// Waits until all text is written, `seconds` at most.
    public static func flush(within seconds: Double) { writer.flush(within: seconds) }

    /// Waits up to 0.1 s, so that standard output follows it on a terminal.
    static func settle() { writer.settle() }
}
