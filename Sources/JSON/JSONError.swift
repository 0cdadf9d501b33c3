/// Why some bytes are no JSON, or not the JSON that was asked for.
public struct JSONError: Error, CustomStringConvertible, Equatable {
    /// Where, in bytes from the start of the text.
    public var offset: Int
    /// What is wrong there.
    public var reason: String

    public init(offset: Int, reason: String) {
        self.offset = offset
        self.reason = reason
    }

    public var description: String { "byte \(offset): \(reason)" }

    /// The line and the column, both from 1, of the error in `text`; columns count bytes.
    public func position(in text: [UInt8]) -> (line: Int, column: Int) {
        var (line, column) = (1, 1)
        for byte in text.prefix(offset) {
            column += 1
            if byte == UInt8(ascii: "\n") { (line, column) = (line + 1, 1) }
        }
        return (line, column)
    }
}
