/// A merge of evicted slots into the kept ones: changes values of kept slots when a stream is compacted, and no key.
///
/// A merge is one file and a line in ``SlotMerges``.
public protocol SlotMerge: Sendable {
    /// The name in flags, recipes and reports.
    var name: String { get }
    /// The inputs of ``values(_:head:kept:)`` beside positions and values.
    var inputs: RetentionInputs { get }
    /// The changed values [dim] of the slots `kept` of a KV head, by slot.
    func values(_ stream: StreamState, head: Int, kept: [Int]) -> [Int: [Float]]
    /// Seeds random choices.
    mutating func set(seed: UInt64)
}

extension SlotMerge {
    public mutating func set(seed: UInt64) {}
}

/// The table of merges. New ones are listed here.
public enum SlotMerges {
    /// Every merge that flags and recipes can name.
    public static let all: [any SlotMerge] = [CaM()]

    /// The merges' names.
    public static var names: [String] { all.map(\.name) }
}
