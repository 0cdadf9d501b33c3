import Files
import Inference
import Text

/// A model under its public name, with its tokenizer and its chat format.
public struct ServedModel: Sendable {
    /// The id clients use: the checkpoint's file name without extension.
    public var id: String
    /// The model's tokenizer.
    public var tokenizer: any Tokenizer
    /// The token that a text prompt starts with, where the tokenizer has one.
    public var bosID: Int32?
    /// Tokens that end a text, the first of which is named to clients.
    public var eosIDs: [Int32]
    /// The format of its chats' prompts.
    public var chatFormat: ChatFormat
    /// Its attention, in a word, for people.
    public var attention: String
    /// Bytes of the longest token, which bounds the text that so many tokens can stand for.
    private let longestToken: Int

    /// A model for the server; the engine has the same models in the same order.
    public init(
        id: String, tokenizer: any Tokenizer, bosID: Int32?, eosIDs: [Int32], chatFormat: ChatFormat, attention: String
    ) {
        self.id = id
        self.tokenizer = tokenizer
        self.bosID = bosID
        self.eosIDs = eosIDs
        self.chatFormat = chatFormat
        self.attention = attention
        longestToken = (0..<Int32(tokenizer.vocabularySize)).reduce(1) { max($0, tokenizer.decode([$1]).count) }
    }

    /// The most bytes of a text of `tokens` tokens: a longer one need not be tokenized to be refused.
    func longestText(tokens: Int) -> Int { tokens * longestToken }

    /// The tokens of a text prompt.
    func encode(_ text: String, special: Bool = true) -> [Int32] {
        (special ? bosID.map { [$0] } ?? [] : []) + tokenizer.encode(text)
    }

    /// Throws where `text` has more bytes than any text of `capacity` tokens.
    func check(_ text: String, capacity: Int, parameter: String) throws(APIError) {
        guard text.utf8.count > longestText(tokens: capacity) else { return }
        throw APIError(
            .badRequest,
            "'\(parameter)' has \(text.utf8.count) bytes, more than any text of the \(capacity) tokens that leave room for an "
                + "answer",
            parameter: parameter, code: "context_length_exceeded")
    }

    /// A special token's name for clients: its text where that is encoded to it, else the most common name.
    func name(ofSpecial id: Int32) -> String {
        let text = text(of: id)
        if !text.isEmpty, tokenizer.encode(text) == [id] { return text }
        return id == bosID ? "<s>" : "</s>"
    }

    /// The tokens of a text, or of a special token's name alone.
    func tokenized(_ text: String, special: Bool) -> [Int32] {
        let named = ((bosID.map { [$0] } ?? []) + eosIDs).first { name(ofSpecial: $0) == text }
        return named.map { (special ? bosID.map { [$0] } ?? [] : []) + [$0] } ?? encode(text, special: special)
    }

    /// A token's text on its own.
    func text(of id: Int32) -> String { Self.text(tokenizer.decode([id])) }

    /// Bytes as text; bytes that are not UTF-8 are spelled out.
    static func text(_ bytes: [UInt8]) -> String {
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        return "bytes:" + bytes.map { "\\x" + [$0].hex }.joined()
    }
}

extension [ServedModel] {
    /// The place of the model called `name`; throws 404 where none has that name.
    func index(named name: String) throws(APIError) -> Int {
        guard let index = firstIndex(where: { $0.id == name }) else {
            throw APIError(
                .notFound, "the model '\(name.prefix(100))' does not exist; there are \(map(\.id).joined(separator: ", "))",
                parameter: "model", code: "model_not_found")
        }
        return index
    }
}
