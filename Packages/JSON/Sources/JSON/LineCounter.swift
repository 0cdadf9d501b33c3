/// Lines and columns of ascending offsets in a text, found in one pass over it.
public struct LineCounter {
    private let text: [UInt8]
    private var offset = 0
    private var line = 1
    private var column = 1

    /// A counter at the start of `text`, which is UTF-8.
    public init(_ text: [UInt8]) { self.text = text }

    /// The line and the column, both from 1, of a byte no earlier than the last one asked for; columns count characters, that is
    /// Unicode scalars.
    public mutating func position(of target: Int) -> (line: Int, column: Int) {
        while offset < min(target, text.count) {
            let byte = text[offset]
            offset += 1
            if byte == UInt8(ascii: "\n") {
                (line, column) = (line + 1, 1)
            } else if byte & 0xC0 != 0x80 {
                // A scalar's later bytes are 10xxxxxx.
                column += 1
            }
        }
        return (line, column)
    }
}
