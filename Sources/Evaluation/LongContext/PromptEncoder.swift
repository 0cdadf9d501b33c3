import Text

/// The conversion of prompts to a model's tokens.
public struct PromptEncoder: Sendable {
    /// The model's tokenizer.
    public let tokenizer: any Tokenizer
    /// The beginning-of-sequence token before each prompt; nil for none.
    public let bosID: Int32?

    /// The model's chat template around prompts; nil for none.
    public let chat: ChatWriter?

    /// The encoder of a model's tokenizer; prompts are texts as they are unless a `chat` is given.
    public init(_ tokenizer: any Tokenizer, bosID: Int32?, chat: ChatWriter? = nil) {
        (self.tokenizer, self.bosID, self.chat) = (tokenizer, bosID, chat)
    }

    /// The tokens of a prompt, after the beginning-of-sequence token; one that a template wrote is not doubled.
    public func tokens(_ prompt: String) -> [Int32] {
        let tokens = tokenizer.encode(prompt)
        return (bosID.map { tokens.first == $0 ? [] : [$0] } ?? []) + tokens
    }

    /// The number of tokens of a prompt, in the chat template where there is one.
    func count(_ prompt: String) throws -> Int {
        try tokens(chat?.text([ChatTurn(role: "user", content: prompt)]) ?? prompt).count
    }

    /// A prompt as a model gets it.
    struct Encoded {
        var text: String
        var tokens: [Int32]
        /// Tokens before the question.
        var contextTokens: Int
        /// Stop strings of the chat template.
        var stops: [String]
    }

    /// The prompt whose last `questionBytes` are the question, in the chat template where there is one and `isChat` allows it.
    ///
    /// Throws ``ChatTemplateError`` where a template hides the question's place, and its own error where it refuses the text.
    func encoded(_ prompt: String, questionBytes: Int, id: String, isChat: Bool = true) throws -> Encoded {
        guard isChat else {
            let tokens = tokens(prompt)
            return Encoded(
                text: prompt, tokens: tokens, contextTokens: tokensBefore(suffix: questionBytes, of: tokens), stops: [])
        }
        return try encoded([ChatTurn(role: "user", content: prompt)], questionBytes: questionBytes, id: id)
    }

    /// The turns of a chat, the last one's end the question; without a chat template the last turn alone.
    func encoded(_ turns: [ChatTurn], questionBytes: Int, id: String) throws -> Encoded {
        let last = turns.last?.content ?? ""
        guard let chat else { return try encoded(last, questionBytes: questionBytes, id: id, isChat: false) }
        let text = try chat.text(turns)
        // Most templates strip the text; the white space at its end is the question's.
        let scalars = PythonText(last)
        let trailing = PythonText(scalars: scalars.scalars.suffix(scalars.trailingSpaces)).string.utf8.count
        guard let behind = Self.bytes(behind: scalars.stripped.string, in: text) else { throw ChatTemplateError(id: id) }
        let tokens = tokens(text)
        let suffix = behind + max(0, questionBytes - trailing)
        return Encoded(text: text, tokens: tokens, contextTokens: tokensBefore(suffix: suffix, of: tokens), stops: chat.stops)
    }

    /// The bytes behind the last place of `part` in `text`; nil where it is not in it.
    private static func bytes(behind part: String, in text: String) -> Int? {
        let (part, text) = (Array(part.utf8), Array(text.utf8))
        guard part.count <= text.count else { return nil }
        var start = text.count - part.count
        while start >= 0 {
            if text[start..<start + part.count].elementsEqual(part) { return text.count - start - part.count }
            start -= 1
        }
        return nil
    }

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
