import Text

/// The conversion of prompts to a model's tokens.
public struct PromptEncoder: Sendable {
    /// The model's tokenizer.
    public let tokenizer: any Tokenizer
    /// The beginning-of-sequence token before each prompt; nil for none.
    public let bosID: Int32?

    public init(_ tokenizer: any Tokenizer, bosID: Int32?) { (self.tokenizer, self.bosID) = (tokenizer, bosID) }

    /// The tokens of a prompt.
    public func tokens(_ prompt: String) -> [Int32] { (bosID.map { [$0] } ?? []) + tokenizer.encode(prompt) }

    /// The number of `tokens`, which are a prompt's, that start before the last `suffix` bytes of the prompt; at least 1.
    ///
    /// A prompt is encoded as a whole, since parts encoded by themselves have other tokens at their seams.
    func tokensBefore(suffix: Int, of tokens: [Int32]) -> Int {
        let total = tokenizer.decode(tokens).count
        // A token starts where the ones before it end; counted from the end, as a decoder may strip the beginning.
        var (low, high) = (1, tokens.count)
        while low < high {
            let middle = (low + high) / 2
            if tokenizer.decode(Array(tokens[..<middle])).count >= total - suffix { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
