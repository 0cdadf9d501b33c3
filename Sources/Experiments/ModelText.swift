import Checkpoints
import Text

/// The tokenizer and the special tokens of a loaded model.
public protocol ModelText {
    /// The tokenizer.
    var tokenizer: any Tokenizer { get }
    /// Special tokens that the model's files name.
    var tokenIDs: TokenIDs { get }
}

extension ModelText {
    /// The BOS that the tokenizer puts before a text. A configuration may name one where the tokenizer puts none.
    public var bosID: Int32? { tokenizer.bosID }

    /// A BOS to put before a text whether the tokenizer does or not.
    public var namedBOS: Int32? { tokenizer.bosID ?? tokenIDs.bos }

    /// The token in place of an empty context, as in lm-evaluation-harness: BOS, else end of text.
    public var prefixID: Int32? { namedBOS ?? tokenizer.eosID ?? tokenIDs.eos.first }

    /// The special tokens' texts by the names that chat templates use, such as "bos_token".
    public var specialTokens: [String: String] {
        var tokens = tokenIDs.specialTokens ?? [:]
        for (name, id) in [("bos_token", namedBOS), ("eos_token", tokenizer.eosID ?? tokenIDs.eos.first)] {
            guard tokens[name] == nil, let id else { continue }
            tokens[name] = String(decoding: tokenizer.decode([id]), as: UTF8.self)
        }
        return tokens
    }

    /// Tokens that end a text.
    public var stopIDs: Set<Int32> { Set(tokenIDs.eos + (tokenizer.eosID.map { [$0] } ?? [])) }
}
