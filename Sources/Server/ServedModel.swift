import Inference
import Text

/// A model under its public name, with what requests need of it.
public struct ServedModel: Sendable {
    /// The id clients use: the checkpoint's file name without extension.
    public var id: String
    /// How text becomes tokens.
    public var tokenizer: any Tokenizer
    /// What a text prompt starts with, where the tokenizer has it.
    public var bosID: Int32?
    /// Tokens that end a text, the first of which is named to clients.
    public var eosIDs: [Int32]
    /// How chats become prompts.
    public var chatTemplate: ChatTemplate
    /// Its attention, in a word, for people.
    public var attention: String

    /// A model for the server; the engine has the same models in the same order.
    public init(
        id: String, tokenizer: any Tokenizer, bosID: Int32?, eosIDs: [Int32], chatTemplate: ChatTemplate, attention: String
    ) {
        self.id = id
        self.tokenizer = tokenizer
        self.bosID = bosID
        self.eosIDs = eosIDs
        self.chatTemplate = chatTemplate
        self.attention = attention
    }

    /// The tokens of a text prompt.
    func encode(_ text: String, special: Bool = true) -> [Int32] {
        (special ? bosID.map { [$0] } ?? [] : []) + tokenizer.encode(text)
    }

    /// What clients are told a special token is called: its text where that is encoded to it, else what most call it.
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

    /// A token's text on its own; bytes that are no text are spelled out.
    func text(of id: Int32) -> String {
        let bytes = tokenizer.decode([id])
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        return "bytes:"
            + bytes.map { byte in
                let digits = String(byte, radix: 16)
                return "\\x" + (digits.count < 2 ? "0" : "") + digits
            }.joined()
    }
}
