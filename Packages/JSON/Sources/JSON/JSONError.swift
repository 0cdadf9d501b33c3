/// Why some bytes are no JSON, or not the JSON that was asked for.
public struct JSONError: Error, CustomStringConvertible, Equatable {
    /// The place, in bytes from the start of the text.
    public var offset: Int
    /// The error in words.
    public var reason: String

    public init(offset: Int, reason: String) {
        self.offset = offset
        self.reason = reason
    }

    public var description: String { "byte \(offset): \(reason)" }

    /// The line and the column of the error in `text`.
    public func position(in text: [UInt8]) -> (line: Int, column: Int) {
        var lines = LineCounter(text)
        return lines.position(of: offset)
    }
}
