import Threads

/// Rows of a layer as rows of its single KV heads, whose slots lie in pages of their own.
///
/// To the attention each KV head of a sequence is a sequence of its own, with the query heads of its group:
///
///     rows [t0 t1 | t2] of two sequences, two KV heads a b:   t0a t1a | t0b t1b | t2a | t2b
///
/// so that one run over all of them divides the work as one over whole layers does.
public struct SeparatedHeads: Sendable {
    /// The attention of one KV head with its group.
    public let kernel: PagedAttentionKernel
    /// KV heads of the layer.
    private let kvHeads: Int
    /// For each row of the layer the row of its first KV head among the separated ones, and rows from there to the next head's.
    private var places: [(first: Int, step: Int)] = []

    /// The rows of sequences with `counts` new tokens each, of a layer with `kvHeads` KV heads, each attended to by `kernel`.
    ///
    /// Precondition: the kernel's layout has one KV head, whose values are stored beside their keys.
    public init(_ kernel: PagedAttentionKernel, kvHeads: Int, counts: [Int]) {
        precondition(
            kernel.layout.kvHeads == 1 && !kernel.layout.valuesAreKeys,
            "SeparatedHeads: a layout of \(kernel.layout.kvHeads) KV heads, expected one with values of its own")
        (self.kernel, self.kvHeads) = (kernel, kvHeads)
        for count in counts {
            let first = places.count * kvHeads
            places += (0..<count).map { (first + $0, count) }
        }
    }

    private var rows: Int { places.count }

    /// Calls `body` with each row of the layer, its KV heads, and the row of each among the separated ones.
    private func forEach(_ body: @Sendable (_ row: Int, _ head: Int, _ separated: Int) -> Void) {
        Parallel.forRanges(rows, grain: 64) { range in
            for row in range {
                for head in 0..<kvHeads { body(row, head, places[row].first + head * places[row].step) }
            }
        }
    }

    /// Rows [heads·keyDim | kvHeads·keyDim | kvHeads·valueDim] of the layer, without keys and values where the kernel stores none,
    /// as rows [group·keyDim | keyDim | valueDim] of its heads.
    public func separated(_ qkv: Storage) -> Storage {
        let (layout, group, width) = (kernel.layout, kernel.heads, kernel.rowWidth)
        precondition(
            qkv.count >= rows * kvHeads * width, "SeparatedHeads: \(qkv.count) elements for \(rows) rows of \(kvHeads * width)")
        let result = Storage(count: rows * kvHeads * width)
        let keys = kvHeads * group * layout.keyDim
        let parts: [(first: Int, to: Int, width: Int)] = [
            (0, 0, group * layout.keyDim), (keys, group * layout.keyDim, layout.keyDim),
            (keys + kvHeads * layout.keyDim, (group + 1) * layout.keyDim, layout.valueDim),
        ]
        forEach { row, head, separated in
            for part in parts.prefix(kernel.storesKeys ? 3 : 1) {
                unsafe (result.pointer + separated * width + part.to).update(
                    from: qkv.pointer + row * kvHeads * width + part.first + head * part.width, count: part.width)
            }
        }
        return result
    }

    /// Writes rows of the heads, [group·width] each, into rows of the layer [kvHeads·group·width].
    public func join(_ separated: Storage, width: Int, into rows: Storage) {
        let width = kernel.heads * width
        precondition(
            separated.count >= self.rows * kvHeads * width && rows.count >= self.rows * kvHeads * width,
            "SeparatedHeads: \(separated.count) elements into \(rows.count) for \(self.rows) rows of \(kvHeads * width)")
        forEach { row, head, from in
            unsafe (rows.pointer + (row * kvHeads + head) * width).update(from: separated.pointer + from * width, count: width)
        }
    }
}
