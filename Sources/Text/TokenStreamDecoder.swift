/// A streaming decoder: text from tokens that arrive one at a time.
///
/// Incomplete characters are held back, and a leading space that the tokenizer strips is stripped only from the whole text, not
/// from each token.
public struct TokenStreamDecoder: Sendable {
    private let tokenizer: any Tokenizer
    private var previous: Int32?
    private var pending: [UInt8] = []

    /// - Parameter context: the preceding ids, such as the prompt's; their text is not repeated.
    public init(_ tokenizer: any Tokenizer, after context: [Int32] = []) {
        self.tokenizer = tokenizer
        previous = context.last
    }

    /// The text that `id` completes; empty while a character is incomplete.
    public mutating func append(_ id: Int32) -> String {
        pending += bytes(of: id)
        previous = id
        let complete = completeCount()
        defer { pending.removeFirst(complete) }
        return String(decoding: pending[..<complete], as: UTF8.self)
    }

    /// The bytes of `id` behind the tokens so far.
    public func bytes(of id: Int32) -> [UInt8] {
        guard let previous else { return tokenizer.decode([id]) }
        return Array(tokenizer.decode([previous, id]).dropFirst(tokenizer.decode([previous]).count))
    }

    /// The rest at the end: the replacement character for an incomplete one, else nothing.
    public mutating func finish() -> String {
        defer { pending = [] }
        return String(decoding: pending, as: UTF8.self)
    }

    /// The number of bytes before an incomplete last character.
    private func completeCount() -> Int {
        for back in 1...4 where back <= pending.count {
            let byte = pending[pending.count - back]
            if byte & 0xc0 == 0x80 { continue }
            return byte >= 0xc2 && back < UTF8Scalar.length(byte) ? pending.count - back : pending.count
        }
        return pending.count
    }
}
