/// A merge of evicted slots into the kept ones: changes values of kept slots when a stream is compacted, and no key.
///
/// A merge is one file and a line in ``SlotMerges``.
public protocol SlotMerge: Sendable {
    /// The name in flags, recipes and reports.
    var name: String { get }
    /// The inputs of ``values(_:head:kept:threshold:)`` beside positions and values.
    var inputs: RetentionInputs { get }
    /// Whether choices are drawn at random, from ``set(seed:)``.
    var isRandom: Bool { get }
    /// The changed values [dim] of the slots `kept` of a KV head, by slot.
    ///
    /// The `threshold` is the head's from decision to decision, nil before the first; a merge without one leaves it alone.
    func values(_ stream: StreamState, head: Int, kept: [Int], threshold: inout Double?) -> [Int: [Float]]
    /// Seeds random choices.
    mutating func set(seed: UInt64)
}

extension SlotMerge {
    /// False: a merge draws nothing unless it says so.
    public var isRandom: Bool { false }
    public mutating func set(seed: UInt64) {}

    /// Sums of the values of `slots` with their weights, Σ weight·value.
    func sum(_ values: [ArraySlice<Float>], _ slots: [(slot: Int, weight: Double)]) -> [Float] {
        var sum = [Double](repeating: 0, count: values.first?.count ?? 0)
        for (slot, weight) in slots { for (index, x) in values[slot].enumerated() { sum[index] += weight * Double(x) } }
        return sum.map { Float($0) }
    }
}

/// The table of merges. New ones are listed here.
public enum SlotMerges {
    /// Every merge that flags and recipes can name.
    public static let all: [any SlotMerge] = [CaM(), D2O(), KVMerger()]

    /// The merges' names.
    public static var names: [String] { all.map(\.name) }
}
