import CKernels
import Threads

/// Products of packed operands over the pool, in units of work that depend on the shapes and the number of threads alone.
enum GEMM {
    /// Rows of a unit: few enough that its operands and results stay in the second-level cache and that 64 cores share a batch;
    /// many enough that the panels are seldom read.
    static func blockRows(_ rows: Int) -> Int { max(8, min(128, (rows / 32 + 7) / 8 * 8)) }

    /// Bytes of panels above which every block of rows reads them from memory, whatever the processor's caches.
    private static let cachedBytes = 16 << 20

    /// Rows of a unit that is multiplied by `panels`: panels beyond the caches, such as those of a large vocabulary, are read by as
    /// few blocks as keep all threads busy, up to 128 rows each. Sums that an output takes block by block are cut by the shapes alone.
    private static func blockRows(_ rows: Int, _ panels: GEMMPanels, _ output: RowOutput) -> Int {
        let size = blockRows(rows)
        guard 4 * panels.storage.count > cachedBytes, output.partialCount(width: panels.outer) == 0 else { return size }
        let share = (rows + Parallel.threads - 1) / Parallel.threads
        return max(size, min(128, (share + 7) / 8 * 8))
    }

    /// output = input · panels, block by block of rows.
    static func rows(_ rows: Int, _ input: RowInput, _ panels: GEMMPanels, into output: RowOutput) {
        guard rows > 0 else { return }
        let kernel = panels.precision.kernel
        let (inner, outer, words) = (panels.inner, panels.outer, panels.words)
        let size = blockRows(rows, panels, output)
        let blocks = (rows + size - 1) / size
        let partials = Storage(repeating: 0, count: blocks * output.partialCount(width: outer))
        let groupStride = words * Int(kernel.rows)
        let leftCount = kernel.leftCount(size, words: words)
        let scratchCount = max(
            input.scratchCount(rows: size, width: inner), output.scratchCount(rows: size, width: outer))
        Parallel.forEach(blocks, scratch: [leftCount, scratchCount]) { index in
            let range = index * size..<min((index + 1) * size, rows)
            let left = Storage(count: leftCount)
            let scratch = Storage(count: scratchCount)
            let source = unsafe input.rows(range, width: inner, scratch: scratch)
            unsafe kernel.pack_rows(
                source.pointer, Int64(source.stride), Int64(range.count), Int64(inner), left.pointer, Int64(groupStride))
            // The input's scratch is free again after packing.
            let target = unsafe output.target(range, width: outer, scratch: scratch)
            unsafe kernel.multiply(
                0, Int64(range.count), Int64(outer), Int64(words), left.pointer, Int64(groupStride), panels.storage.pointer,
                Int64(panels.stride), target.pointer, Int64(target.stride), target.accumulate ? 1 : 0)
            unsafe output.finish(range, width: outer, target, partials: partials, index: index)
        }
        output.addUp(partials, blocks: blocks, width: outer)
    }

    /// c (+)= aᵀ · panels with a [inner, m], the reduction split into pieces of `depth` words.
    static func transposed(_ a: Matrix, _ panels: GEMMPanels, into c: Matrix, accumulate: Bool) {
        let kernel = panels.precision.kernel
        let (m, inner) = (a.columns, panels.inner)
        let (rows, columns) = (Int(kernel.rows), Int(kernel.columns))
        let groups = (m + rows - 1) / rows
        let panelCount = kernel.panels(panels.outer)
        let (rowBlocks, columnBlocks) = blocks(groups: groups, panels: panelCount, blockGroups: max(1, 128 / rows))
        let depth = 512
        let leftCount = kernel.leftCount((groups + rowBlocks - 1) / rowBlocks * rows, words: depth)
        Parallel.forEach(rowBlocks * columnBlocks, scratch: [leftCount]) { unit in
            let (rowBlock, columnBlock) = (unit / columnBlocks, unit % columnBlocks)
            let range = groups * rowBlock / rowBlocks * rows..<min(groups * (rowBlock + 1) / rowBlocks * rows, m)
            let firstPanel = panelCount * columnBlock / columnBlocks
            let firstColumn = firstPanel * columns
            let width = min(panelCount * (columnBlock + 1) / columnBlocks * columns, panels.outer) - firstColumn
            let left = Storage(count: leftCount)
            let to = unsafe c.pointer(row: range.lowerBound) + firstColumn
            for word in stride(from: 0, to: max(panels.words, 1), by: depth) {
                let words = min(depth, panels.words - word)
                let first = word * Int(kernel.depth)
                let count = min(words * Int(kernel.depth), inner - first)
                unsafe kernel.pack_columns(
                    a.pointer(row: first) + range.lowerBound, Int64(a.stride), Int64(range.count),
                    Int64(count), left.pointer, Int64(words * rows))
                unsafe kernel.multiply(
                    1, Int64(range.count), Int64(width), Int64(words), left.pointer, Int64(words * rows),
                    panels.storage.pointer + firstPanel * panels.stride + word * columns, Int64(panels.stride), to,
                    Int64(c.stride), accumulate || word > 0 ? 1 : 0)
            }
        }
    }

    /// The number of blocks of rows, each of about `blockGroups` groups, and of columns. Columns are split at whole panels, and
    /// only as far as keeps every thread busy: each block of columns packs the rows anew.
    private static func blocks(groups: Int, panels: Int, blockGroups: Int) -> (rows: Int, columns: Int) {
        let threads = Parallel.threads
        let rowBlocks = max(1, (groups + blockGroups - 1) / blockGroups)
        var best = (columns: 1, share: 0.0)
        for columns in 1...max(1, min(panels, 2 * threads)) {
            // The utilisation of the threads, bounded by the largest unit.
            let units = rowBlocks * columns
            let rounds = (units + threads - 1) / threads
            let largest = ((groups + rowBlocks - 1) / rowBlocks) * ((panels + columns - 1) / columns)
            let share = Double(groups * panels) / Double(rounds * largest * threads)
            if share > best.share + 0.03 { best = (columns, share) }
        }
        return (rowBlocks, best.columns)
    }
}
