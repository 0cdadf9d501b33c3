import Foundation

/// How much of the torture runs: the share that every test run has, or the whole for `make torture`.
///
/// `KVLAB_TORTURE` multiplies the numbers of kills, files and sessions; absent or unreadable it is 1, the share of continuous
/// integration.
public enum Torture {
    /// The factor.
    public static let scale = max(1, ProcessInfo.processInfo.environment["KVLAB_TORTURE"].flatMap { Double($0) } ?? 1)

    /// Whether the whole was asked for.
    public static var isWhole: Bool { scale > 1 }

    /// `count` in the share of continuous integration, that many times the scale otherwise, at most `limit`.
    public static func count(_ count: Int, limit: Int = .max) -> Int {
        Int(min(Double(limit), (Double(count) * scale).rounded(.up)))
    }
}
