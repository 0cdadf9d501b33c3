import CKernels
import Threads

/// The right operand of a packed product: [inner, outer] in panels of columns, `words` words of the reduction each.
public struct GEMMPanels: Sendable {
    let storage: Storage
    let inner: Int
    let outer: Int
    let words: Int
    let precision: ComputePrecision

    /// Floats from one panel to the next.
    var stride: Int { words * Int(precision.kernel.columns) }

    private init(inner: Int, outer: Int, precision: ComputePrecision) {
        self.inner = inner
        self.outer = outer
        self.precision = precision
        words = precision.kernel.words(inner)
        storage = Storage(count: Self.count(inner: inner, outer: outer, precision: precision))
    }

    /// Floats of the panels of [inner, outer].
    static func count(inner: Int, outer: Int, precision: ComputePrecision) -> Int {
        let kernel = precision.kernel
        return kernel.words(inner) * kernel.panels(outer) * Int(kernel.columns)
    }

    /// Wᵀ for concatenated weights [outᵢ, in]: [in, Σ outᵢ].
    init(transposed weights: [Matrix], precision: ComputePrecision) {
        let kernel = precision.kernel
        let width = Int(kernel.columns)
        self.init(inner: weights[0].columns, outer: weights.reduce(0) { $0 + $1.rows }, precision: precision)
        let (inner, outer, stride, storage) = (inner, outer, stride, storage)
        Parallel.forEach(kernel.panels(outer)) { index in
            let panel = unsafe storage.pointer + index * stride
            let columns = index * width..<min((index + 1) * width, outer)
            if columns.count < width { unsafe panel.update(repeating: 0, count: stride) }
            var start = 0
            for weight in weights {
                let part = columns.clamped(to: start..<start + weight.rows)
                if !part.isEmpty {
                    let from = unsafe weight.pointer(row: part.lowerBound - start)
                    unsafe kernel.pack_transposed(
                        from, Int64(weight.stride), Int64(part.count), Int64(inner), panel + part.lowerBound - columns.lowerBound)
                }
                start += weight.rows
            }
        }
    }

    /// `rows` rows of `width` that `input` produces: [rows, width].
    init(_ input: RowInput, rows: Int, width: Int, precision: ComputePrecision) {
        let kernel = precision.kernel
        self.init(inner: rows, outer: width, precision: precision)
        let (stride, storage) = (stride, storage)
        // Whole chunks of words, so that no two blocks write to one.
        let block = 128
        let scratchCount = input.scratchCount(rows: min(block, rows), width: width)
        Parallel.forEach((rows + block - 1) / block, scratch: [scratchCount]) { index in
            let range = index * block..<min((index + 1) * block, rows)
            let scratch = Storage(count: scratchCount)
            let source = unsafe input.rows(range, width: width, scratch: scratch)
            unsafe kernel.pack_panels(
                source.pointer, Int64(source.stride), Int64(width), Int64(range.count),
                storage.pointer + index * block / Int(kernel.depth) * Int(kernel.columns), Int64(stride))
        }
    }
}

extension ComputePrecision {
    /// The packed product for the best instruction set available.
    var kernel: kk_gemm {
        let gemm = unsafe kernels.gemm
        return switch self {
        case .fp32: gemm.0
        case .bf16: gemm.1
        }
    }
}

extension kk_gemm {
    /// Words of `count` elements along the reduction, in whole chunks of 8.
    func words(_ count: Int) -> Int { (count + 8 * Int(depth) - 1) / (8 * Int(depth)) * 8 }

    /// Panels of `count` columns.
    func panels(_ count: Int) -> Int { (count + Int(columns) - 1) / Int(columns) }

    /// Floats of `count` rows of the left operand, `words` words each.
    func leftCount(_ count: Int, words: Int) -> Int { (count + Int(rows) - 1) / Int(rows) * Int(rows) * words }
}
