import Threads

/// Gathers rows of a table by index, and scatter-adds rows.
public enum Gather {
    /// y[i] = table[indices[i]], rows of `width`.
    public static func rows(of table: Storage, at indices: [Int32], width: Int, into y: Storage) {
        let count = table.count / max(width, 1)
        precondition(y.count == indices.count * width, "gather: \(indices.count) rows of \(width) into \(y.count) elements")
        precondition(indices.allSatisfy { $0 >= 0 && $0 < Int32(clamping: count) }, "gather: an index lies outside 0..<\(count)")
        Parallel.forRanges(indices.count, grain: max(1, Elementwise.grain / width)) { range in
            for i in range {
                unsafe (y.pointer + i * width).update(from: table.pointer + Int(indices[i]) * width, count: width)
            }
        }
    }

    /// Scatter-add: table[indices[i]] += x[i], in index order for each row, whatever the number of threads.
    ///
    /// Threads divide the columns, not the rows, so that no two write to one element.
    public static func addRows(_ x: Storage, at indices: [Int32], width: Int, into table: Storage) {
        precondition(x.count == indices.count * width, "gather: \(indices.count) rows of \(width) from \(x.count) elements")
        Parallel.forRanges(width, grain: max(16, Elementwise.grain / max(indices.count, 1))) { columns in
            for i in indices.indices {
                let from = unsafe x.pointer + i * width + columns.lowerBound
                let to = unsafe table.pointer + Int(indices[i]) * width + columns.lowerBound
                unsafe kernels.axpy(1, from, to, Int64(columns.count))
            }
        }
    }
}
