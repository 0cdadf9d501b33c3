import Autograd

/// Token sequences of equal length for a pass without a cache.
public struct ModelInput: Sendable {
    /// Sequences.
    public var batch: Int
    /// Tokens in each.
    public var seq: Int
    /// Token ids, [batch, seq].
    public var tokens: [Int32]
    /// The first position that each position may attend to, [batch, seq]; nil for 0.
    public var keyStarts: [Int32]?
    /// Dropout on the embedding and the residual branches while training; nil for none.
    public var dropout: Dropout?
    /// The compressed cache that attention goes through; nil for keys and values as they are.
    public var cache: CacheView?
    /// Gates between whole and streaming attention; nil for whole attention.
    public var gates: HeadGates?

    /// A dropout rate and the key of its random numbers.
    public struct Dropout: Sendable {
        /// The probability that an element becomes zero.
        public var rate: Float
        /// The key, different for every step and micro-batch.
        public var seed: UInt64

        /// Dropout at `rate`; equal seeds drop equal elements. A rate of 0 drops none.
        public init(rate: Float, seed: UInt64) {
            self.rate = rate
            self.seed = seed
        }
    }

    /// `batch` sequences of `seq` tokens, row after row.
    ///
    /// Precondition: `tokens` is [batch, seq].
    public init(batch: Int, seq: Int, tokens: [Int32], keyStarts: [Int32]? = nil, dropout: Dropout? = nil) {
        precondition(tokens.count == batch * seq, "ModelInput: \(tokens.count) tokens for [\(batch), \(seq)]")
        self.batch = batch
        self.seq = seq
        self.tokens = tokens
        self.keyStarts = keyStarts
        self.dropout = dropout
    }

    /// `tensor` after dropout, if any; `site` distinguishes the places in the model.
    func dropped(_ tensor: Tensor, site: Int) -> Tensor {
        guard let dropout, dropout.rate > 0 else { return tensor }
        return tensor.dropout(rate: dropout.rate, seed: dropout.seed &+ UInt64(site) &* 0x9E37_79B9_7F4A_7C15)
    }
}
