import Console
import Glibc
import Kernels
import Synchronization

/// Progress for people, on standard error: one live line on a terminal, plain lines in a log.
public final class ProgressReporter: Sendable {
    private struct State {
        var liveWidth = 0
        var prefix = ""
        var lastLive = ContinuousClock.now - .seconds(60)
        var lastPlain = ContinuousClock.now - .seconds(60)
    }

    private let state = Mutex(State())
    private let isTerminal: Bool
    private let isQuiet: Bool
    /// The interval of progress lines in a log.
    private static let plainInterval = Duration.seconds(10)
    private let measuredPeaks = Mutex<[ComputePrecision: Double]>([:])

    /// A reporter on standard error; with `quiet` it reports nothing.
    public init(quiet: Bool = false) {
        isQuiet = quiet
        isTerminal = isatty(STDERR_FILENO) != 0
    }

    /// A line that stays.
    public func line(_ text: String) {
        guard !isQuiet else { return }
        state.withLock { state in
            clear(&state)
            StandardError.line(text)
        }
    }

    /// Sets the text before all progress from now on: the progress of a larger whole.
    public func setPrefix(_ prefix: String) { state.withLock { $0.prefix = prefix } }

    /// Floating-point operations a second of the machine's products in `precision`; measured, in a fraction of a second, when they are
    /// first asked for.
    func peak(_ precision: ComputePrecision) -> Double {
        measuredPeaks.withLock { peaks in
            let value = peaks[precision] ?? PeakMeasurement.gemmFlopsPerSecond(precision, repeats: 2)
            peaks[precision] = value
            return value
        }
    }

    /// Progress that the next replaces; in a log, every ten seconds or where `isLast`.
    public func progress(isLast: Bool = false, _ text: @autoclosure () -> String) {
        guard !isQuiet else { return }
        state.withLock { state in
            let now = ContinuousClock.now
            if isTerminal {
                guard isLast || now - state.lastLive > .milliseconds(100) else { return }
                state.lastLive = now
                // A line that wraps could not be written over.
                let text = String((state.prefix + text()).onOneLine.prefix(Self.terminalWidth - 1))
                StandardError.write("\r" + text + String(repeating: " ", count: max(0, state.liveWidth - text.count)))
                state.liveWidth = text.count
            } else if isLast || now - state.lastPlain > Self.plainInterval {
                state.lastPlain = now
                StandardError.line(state.prefix + text())
            }
        }
    }

    private static var terminalWidth: Int {
        var size = winsize()
        guard unsafe ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 20 else { return 200 }
        return Int(size.ws_col)
    }

    /// Removes the live line.
    public func clear() { state.withLock { clear(&$0) } }

    private func clear(_ state: inout State) {
        guard isTerminal, state.liveWidth > 0 else { return }
        StandardError.write("\r" + String(repeating: " ", count: state.liveWidth) + "\r")
        state.liveWidth = 0
    }

    /// Seconds as 42 s, 3 min 5 s or 2 h 10 min.
    public static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite else { return "?" }
        let whole = Int(seconds.rounded())
        if whole < 60 { return "\(whole) s" }
        if whole < 3600 { return "\(whole / 60) min \(whole % 60) s" }
        return "\(whole / 3600) h \(whole % 3600 / 60) min"
    }
}
