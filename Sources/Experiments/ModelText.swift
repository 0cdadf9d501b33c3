import Checkpoints
import Text

/// How a loaded model's text becomes tokens and what its special tokens are.
public protocol ModelText {
    /// How text becomes tokens.
    var tokenizer: any Tokenizer { get }
    /// Special tokens that the model's files name.
    var tokenIDs: TokenIDs { get }
}

extension ModelText {
    /// What starts a sequence: the BOS that the tokenizer puts before a text. A configuration may name one all the same.
    public var bosID: Int32? { tokenizer.bosID }

    /// A BOS to put before a text whether the tokenizer does or not.
    public var namedBOS: Int32? { tokenizer.bosID ?? tokenIDs.bos }

    /// What stands for a context where there is none, as in lm-evaluation-harness: BOS, else end of text.
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
