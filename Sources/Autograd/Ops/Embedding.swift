import Kernels

extension Tensor {
    /// The embedding lookup: the rows of this table [vocab, width] at `ids`, [ids.count, width].
    public func embedding(_ ids: [Int32]) -> Tensor {
        precondition(shape.rank == 2, "embedding: \(shape) is no table")
        let (table, width) = (storage, shape[1])
        let output = Storage(count: ids.count * width)
        Gather.rows(of: table, at: ids, width: width, into: output)
        return .result([ids.count, width], output, from: [self]) { gradient, sink in
            sink.accumulate(0, count: table.count) { into, beta in
                if beta == 0 { Elementwise.fill(into, with: 0) }
                Gather.addRows(gradient, at: ids, width: width, into: into)
            }
        }
    }
}
