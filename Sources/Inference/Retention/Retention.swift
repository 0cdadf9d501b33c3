/// An eviction policy: decides which slots of a stream are kept, a stream being the cache of one layer with its own keys and
/// values.
///
/// A slot is a stored token; slots and tokens are equal in number until some are evicted. A retention sees positions and
/// attention mass, never pages. Its decisions depend on numbers of tokens alone: the retained set does not depend on chunks, on
/// the rest of the batch or on preemption, up to rounding of the attention mass.
public protocol Retention: Sendable {
    /// The name in flags, recipes and reports.
    var name: String { get }
    /// How the pages of evicted slots become free.
    var release: SlotRelease { get }
    /// Whether decisions need the attention mass of the slots.
    var needsMass: Bool { get }
    /// The number of tokens above `tokens` of the next decision, for a sequence with a prompt of `prompt` tokens; nil where none
    /// follows.
    func nextDecision(after tokens: Int, prompt: Int) -> Int?
    /// The most slots that the decision at `tokens` keeps.
    func mostRetained(at tokens: Int) -> Int
    /// The retained set of a stream at a decision.
    func retained(_ stream: StreamState) -> RetainedSlots
    /// Adds a step's attention mass [slots] of one head to its slots' scores [slots].
    func observe(_ mass: [Float], into scores: inout [Float])
    /// The most pages of `size` slots that a stream holds until the sequence has `tokens`, computed in chunks of at most `chunk`.
    ///
    /// Monotonic in `tokens`: room for a long sequence is room for each beginning of it.
    func mostPages(tokens: Int, chunk: Int, slotsPerPage size: Int) -> Int
}

/// How the pages of evicted slots become free.
public enum SlotRelease: Sendable {
    /// Pages without a retained slot are released; the other slots stay in place, and attention masks the evicted ones.
    case pages
    /// Retained slots are packed to the front and the pages behind them released.
    case compaction
}

/// The state of a stream at a decision.
public struct StreamState: Sendable {
    /// Tokens of the sequence and of its prompt.
    public var tokens: Int, prompt: Int
    /// KV heads, and slots of each.
    public var kvHeads: Int, slots: Int
    /// Positions of the slots of each KV head, ascending; empty where slot i holds token i.
    public var positions: [[Int32]]
    /// Scores of the slots of each KV head; empty where the retention needs none.
    public var scores: [[Float]]

    /// A stream of `slots` slots in each KV head.
    public init(tokens: Int, prompt: Int, kvHeads: Int, slots: Int, positions: [[Int32]], scores: [[Float]]) {
        (self.tokens, self.prompt, self.kvHeads, self.slots) = (tokens, prompt, kvHeads, slots)
        (self.positions, self.scores) = (positions, scores)
    }
}

/// A retained set: the indices of the slots kept, ascending.
public enum RetainedSlots: Sendable {
    /// The same slots in every head.
    case ranges([Range<Int>])
    /// Slots of each KV head, equally many in all.
    case heads([[Int]])
}

extension Retention {
    public var needsMass: Bool { false }
    public var release: SlotRelease { .compaction }

    public func observe(_ mass: [Float], into scores: inout [Float]) {
        for (slot, mass) in mass.enumerated() { scores[slot] += mass }
    }

    /// The pages of the most slots, just before a decision or at the end, and the pages that a compaction writes to.
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

    /// A retention that never evicts.
    public init() {}

    public func nextDecision(after tokens: Int, prompt: Int) -> Int? { nil }
    public func mostRetained(at tokens: Int) -> Int { tokens }
    public func retained(_ stream: StreamState) -> RetainedSlots { .ranges([0..<stream.slots]) }
}
