/// Sequences of equal length for training or evaluation, row-major [batch, seq].
public struct TokenBatch: Sendable, Equatable {
    /// A target that is not scored.
    public static let ignored: Int32 = -100

    /// Number of sequences.
    public var batch: Int
    /// Tokens in each.
    public var seq: Int
    /// Token ids, [batch, seq].
    public var tokens: [Int32]
    /// The target of each position, or ``ignored``; [batch, seq].
    public var targets: [Int32]
    /// The attention mask across packed documents: the first position of its sequence that each position may attend to,
    /// [batch, seq]; nil means 0 everywhere.
    public var keyStarts: [Int32]?

    /// A batch of these tokens and targets. Precondition: both have batch · seq elements.
    public init(batch: Int, seq: Int, tokens: [Int32], targets: [Int32], keyStarts: [Int32]? = nil) {
        precondition(
            tokens.count == batch * seq && targets.count == batch * seq, "TokenBatch: counts differ from \(batch)×\(seq)")
        self.batch = batch
        self.seq = seq
        self.tokens = tokens
        self.targets = targets
        self.keyStarts = keyStarts
    }
}
