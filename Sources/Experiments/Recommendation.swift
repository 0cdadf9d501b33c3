import Foundation

/// The smallest cache within a limit of a parent's quality, with the commands that make and serve it.
///
/// Quality is bits per byte of the scored text, size the allocated bytes of a token. Candidates are the models and caches that take fewer
/// bytes than the parent's own; where the mean of none is within the limit, the nearest is named as such.
public struct Recommendation: Codable, Sendable, Hashable {
    /// A model with a cache.
    public struct Candidate: Codable, Sendable, Hashable {
        /// The model's name, and the cache's where several were measured.
        public var name: String
        /// Cache bytes a token: of keys and values with their scales, and of the pages allocated for them.
        public var logicalBytesPerToken: Double, allocatedBytesPerToken: Double
        /// Bits per byte.
        public var bitsPerByte: Double
        /// Bits per byte minus the parent's; positive is worse.
        public var difference: Double
        /// Half of the difference's 95 % interval; nil where it was measured once.
        public var margin: Double?
        /// The command that makes the model from its parent; nil for the parent, and for models that nothing is known of.
        public var make: String?
        /// The command that serves it.
        public var serve: String
    }

    /// The pairs that differences are taken over.
    public enum Pairing: String, Codable, Sendable {
        /// Windows of the text, of one run of each model.
        case windows
        /// Seeds, each child with the parent of its own.
        case seeds
    }

    /// The limit: bits per byte above the parent's, in percent of them.
    public var withinPercent: Double
    /// The parent's name.
    public var parent: String
    /// The parent's bits per byte.
    public var bitsPerByte: Double
    /// Allocated cache bytes of a token in the parent.
    public var allocatedBytesPerToken: Double
    /// The pairs of the intervals.
    public var pairing: Pairing
    /// The smallest cache within the limit, or else the nearest to it; nil where no cache is smaller than the parent's.
    public var choice: Candidate?
    /// Whether the choice is within the limit.
    public var isWithin: Bool

    /// The recommendation among `candidates` of finite quality with a smaller cache than the parent's.
    init(
        parent: String, bitsPerByte: Double, allocatedBytesPerToken: Double, among candidates: [Candidate],
        withinPercent: Double, pairing: Pairing
    ) {
        (self.parent, self.bitsPerByte, self.allocatedBytesPerToken) = (parent, bitsPerByte, allocatedBytesPerToken)
        (self.withinPercent, self.pairing) = (withinPercent, pairing)
        let smaller = candidates.filter { $0.allocatedBytesPerToken < allocatedBytesPerToken && $0.difference.isFinite }
        let within = smaller.filter { 100 * $0.difference <= withinPercent * bitsPerByte }
        let least = within.min { ($0.allocatedBytesPerToken, $0.difference) < ($1.allocatedBytesPerToken, $1.difference) }
        choice = least ?? smaller.min { ($0.difference, $0.allocatedBytesPerToken) < ($1.difference, $1.allocatedBytesPerToken) }
        isWithin = least != nil
    }
}

extension Recommendation {
    /// A difference in percent of the parent's bits per byte.
    private func percent(_ difference: Double) -> Double { 100 * difference / bitsPerByte }

    /// The interval's ends in percent of the parent's bits per byte; nil without one.
    private var interval: (low: Double, high: Double)? {
        choice.flatMap { choice in
            choice.margin.map { (percent(choice.difference - $0), percent(choice.difference + $0)) }
        }
    }

    /// The choice in one sentence.
    public var headline: String {
        let limit = String(format: "%g %%", withinPercent)
        guard let choice else { return "No cache is smaller than that of \(parent)." }
        return isWithin
            ? "The smallest cache within \(limit) of \(parent) is that of \(choice.name)."
            : "No smaller cache is within \(limit) of \(parent); the nearest is that of \(choice.name)."
    }

    /// The choice's figures in words, with a note where their interval contains the limit; empty without a choice.
    public var detail: String {
        guard let choice else { return "" }
        func bytes(_ value: Double) -> String { String(format: "%.1f", value) }
        let share = percent(choice.difference)
        let pairs = pairing == .seeds ? "paired by seed" : "paired over windows"
        let uncertainty =
            interval.map { String(format: "95 %% interval %+.2f to %+.2f %%, \(pairs)", $0.low, $0.high) }
            ?? "measured once, without an interval"
        var text =
            "A token takes \(bytes(choice.allocatedBytesPerToken)) allocated bytes of cache (\(bytes(choice.logicalBytesPerToken)) logical) "
            + "instead of \(bytes(allocatedBytesPerToken)), and bits per byte are "
            + String(format: "%.2f %% %@ the parent's %.4f", abs(share), share < 0 ? "below" : "above", bitsPerByte)
            + " (\(uncertainty))."
        if let interval, isWithin ? interval.high > withinPercent : interval.low <= withinPercent {
            text += String(format: " The interval has %g %% in it: score more text or more seeds to be sure.", withinPercent)
        }
        return text
    }

    /// The command lines, each with its purpose.
    public var commands: [(purpose: String, line: String)] {
        guard let choice else { return [] }
        return (choice.make.map { [("make it", $0)] } ?? []) + [("serve it", choice.serve)]
    }

    /// The recommendation for a terminal.
    public var plain: String {
        let lines = commands.map { "  \($0.purpose.padding(toLength: 9, withPad: " ", startingAt: 0)) \($0.line)" }
        return ([headline] + (detail.isEmpty ? [] : [detail]) + lines).joined(separator: "\n")
    }

    /// The recommendation as a part of a page.
    var markup: String {
        let lines = commands.map { "<li>\($0.purpose): <code>\($0.line.escapedForHTML)</code></li>" }.joined()
        return "<p class=\"headline\">\(headline.escapedForHTML)</p>"
            + (detail.isEmpty ? "" : "<p>\(detail.escapedForHTML)</p>") + (lines.isEmpty ? "" : "<ul>\(lines)</ul>")
    }
}
