/// Why a template could not be read or rendered.
public struct JinjaError: Error, Equatable, CustomStringConvertible {
    /// The kinds of failure, each the fault of another party.
    public enum Kind: Sendable, Equatable {
        /// The template is no Jinja, or uses something this library does not know.
        case syntax
        /// A runtime error of the template: a missing attribute, a wrong type, a division by zero.
        case fault
        /// The template would take more work, memory or depth than ``JinjaLimits`` allows.
        case limit
        /// The template refused its input with `raise_exception(...)`: ``JinjaError/reason`` is the template's own message.
        case raised
    }

    /// The kind of failure.
    public var kind: Kind
    /// The line of the template, from 1.
    public var line: Int
    /// The error in words; of ``Kind/raised`` the template's message, word for word. Clients and logs are told it, so it has
    /// at most ``longestReason`` characters of the template's or its input's choice, and says how many were left out.
    public let reason: String

    /// Characters of a reason that are kept.
    public static let longestReason = 1000

    /// An error of a kind at a line of the template.
    public init(_ kind: Kind, line: Int, reason: String) {
        self.kind = kind
        self.line = line
        let end =
            reason.unicodeScalars.index(
                reason.startIndex, offsetBy: Self.longestReason, limitedBy: reason.endIndex) ?? reason.endIndex
        let rest = reason.utf8.distance(from: end, to: reason.endIndex)
        self.reason = rest == 0 ? reason : reason[..<end] + "… and \(rest) bytes more"
    }

    /// The message that the template itself raised; nil where the template is at fault.
    public var raisedMessage: String? { kind == .raised ? reason : nil }

    /// The line and the reason.
    public var description: String { "line \(line): \(reason)" }
}
