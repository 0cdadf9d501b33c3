/// Decides which slots of a stream are kept, a stream being the cache of one layer with keys and values of its own.
///
/// A slot is a stored token; slots and tokens are equal in number until some are dropped. A retention sees positions and attention,
/// never pages. Its decisions fall at numbers of tokens alone: the slots kept do not depend on chunks, on the rest of the batch or
/// on preemption, up to rounding of the attention that they go by.
public protocol Retention: Sendable {
    /// The name in flags, recipes and reports.
    var name: String { get }
    /// How the pages of dropped slots become free.
    var release: SlotRelease { get }
    /// Whether decisions go by the attention that each slot got.
    var needsMass: Bool { get }
    /// The number of tokens above `tokens` at which the next decision falls, of a sequence with a prompt of `prompt` tokens; nil
    /// where none follows.
    func nextDecision(after tokens: Int, prompt: Int) -> Int?
    /// Slots kept at most by the decision at `tokens`.
    func mostRetained(at tokens: Int) -> Int
    /// The slots kept by a decision.
    func retained(_ stream: StreamState) -> RetainedSlots
    /// Adds the attention [slots] that one head's slots got in a step to their scores [slots].
    func observe(_ mass: [Float], into scores: inout [Float])
    /// Pages of `size` slots that a stream takes at most until the sequence has `tokens`, computed by at most `chunk` at a time.
    ///
    /// Never less for more tokens, so that room for a long sequence is room for each beginning of it.
    func mostPages(tokens: Int, chunk: Int, slotsPerPage size: Int) -> Int
}

/// How the pages of dropped slots become free.
public enum SlotRelease: Sendable {
    /// Pages without a kept slot are released; the other slots stay where they are, and attention masks the dropped ones.
    case pages
    /// Kept slots are packed to the front and the pages behind them released.
    case compaction
}

/// A stream at a decision.
public struct StreamState: Sendable {
    /// Tokens of the sequence, and of its prompt.
    public var tokens: Int, prompt: Int
    /// KV heads, and slots stored for each.
    public var kvHeads: Int, slots: Int
    /// For each KV head the positions of its slots, ascending; empty where slot i holds token i.
    public var positions: [[Int32]]
    /// For each KV head the scores of its slots; empty where the retention needs none.
    public var scores: [[Float]]

    /// A stream of so many slots.
    public init(tokens: Int, prompt: Int, kvHeads: Int, slots: Int, positions: [[Int32]], scores: [[Float]]) {
        (self.tokens, self.prompt, self.kvHeads, self.slots) = (tokens, prompt, kvHeads, slots)
        (self.positions, self.scores) = (positions, scores)
    }
}

/// The slots that a decision keeps, ascending.
public enum RetainedSlots: Sendable {
    /// The same in every head.
    case ranges([Range<Int>])
    /// For each KV head as many, each its own.
    case heads([[Int]])
}

extension Retention {
    public var needsMass: Bool { false }
    public var release: SlotRelease { .compaction }

    public func observe(_ mass: [Float], into scores: inout [Float]) {
        for (slot, mass) in mass.enumerated() { scores[slot] += mass }
    }

    /// The slots just before a decision, or at the end, and beside them the pages that a compaction writes to.
    public func mostPages(tokens: Int, chunk: Int, slotsPerPage size: Int) -> Int {
        var (held, at, peak, kept) = (0, 0, 0, 0)
        while let next = nextDecision(after: at, prompt: tokens), next <= tokens {
            peak = max(peak, held + next - at)
            held = min(held + next - at, mostRetained(at: next))
            kept = max(kept, held)
            at = next
        }
        peak = max(peak, held + tokens - at)
        return (peak + size - 1) / size + (kept + size - 1) / size
    }
}

/// Keeps every slot.
public struct FullRetention: Retention {
    public let name = "full"

    /// A retention without decisions.
    public init() {}

    public func nextDecision(after tokens: Int, prompt: Int) -> Int? { nil }
    public func mostRetained(at tokens: Int) -> Int { tokens }
    public func retained(_ stream: StreamState) -> RetainedSlots { .ranges([0..<stream.slots]) }
}
