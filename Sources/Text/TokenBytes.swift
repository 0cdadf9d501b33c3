/// The bytes of each token id.
struct TokenBytes: Sendable {
    private var ends: [Int] = []
    private var arena: [UInt8] = []

    /// The bytes of the ids from 0 on; none for an unused id.
    init(_ tokens: some Sequence<[UInt8]>) {
        for token in tokens {
            arena += token
            ends.append(arena.count)
        }
    }

    /// The bytes of `id`; none where the id is out of range.
    subscript(id: Int32) -> ArraySlice<UInt8> {
        let id = Int(id)
        guard id >= 0, id < ends.count else { return [] }
        return arena[(id == 0 ? 0 : ends[id - 1])..<ends[id]]
    }

    /// The bytes of all `ids`, in order.
    func join(_ ids: [Int32]) -> [UInt8] {
        var bytes: [UInt8] = []
        for id in ids { bytes += self[id] }
        return bytes
    }
}
