import Text

/// Truncation of a prompt in its middle, where its end has the question and its beginning the instructions (LongBench's `pred.py`).
enum MiddleTruncation {
    /// The prompt, or where it has more than `limit` tokens decode(first ⌊limit/2⌋) + decode(last ⌊limit/2⌋); the result may have
    /// a token or two more or fewer than that. Bytes of characters that are cut become U+FFFD.
    static func truncated(_ prompt: String, to limit: Int, _ tokenizer: any Tokenizer) -> String {
        let tokens = tokenizer.encode(prompt)
        guard tokens.count > limit else { return prompt }
        func text(_ ids: ArraySlice<Int32>) -> String { String(decoding: tokenizer.decode(Array(ids)), as: UTF8.self) }
        let half = limit / 2
        var result = text(tokens.prefix(half))
        result.unicodeScalars += text(tokens.suffix(half)).unicodeScalars
        return result
    }
}
