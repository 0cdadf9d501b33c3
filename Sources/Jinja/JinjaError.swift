/// Why a template could not be read or rendered.
public struct JinjaError: Error, Equatable, CustomStringConvertible {
    /// What sort of failure it is, which says whom to tell.
    public enum Kind: Sendable, Equatable {
        /// The template is no Jinja, or uses something this library does not know.
        case syntax
        /// The template did at rendering what it must not: a missing attribute, a wrong type, a division by zero.
        case fault
        /// The template would take more work, memory or depth than ``JinjaLimits`` allows.
        case limit
        /// The template refused its input with `raise_exception(...)`: ``JinjaError/reason`` is the template's own message.
        case raised
    }

    /// What sort of failure it is.
    public var kind: Kind
    /// The line of the template, from 1.
    public var line: Int
    /// What is wrong there; of ``Kind/raised`` the template's message, word for word.
    public var reason: String

    /// An error of a kind at a line of the template.
    public init(_ kind: Kind, line: Int, reason: String) {
        self.kind = kind
        self.line = line
        self.reason = reason
    }

    /// The message that the template itself raised; nil where the template is at fault.
    public var raisedMessage: String? { kind == .raised ? reason : nil }

    /// The line and what is wrong there.
    public var description: String { "line \(line): \(reason)" }
}
