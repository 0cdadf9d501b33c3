import CKernels
import Threads

/// A batched product over heads: each head's part of a row with its own packed weights, as in MLA's absorbed projections.
///
/// All heads' weights are of one shape and element type; rounding and sums are those of ``PackedLinear``.
public struct PackedHeads: Sendable {
    private let heads: [PackedLinear]

    /// A batch of one layer a head, at least one.
    public init(_ heads: [PackedLinear]) {
        precondition(
            !heads.isEmpty
                && heads.allSatisfy {
                    $0.inputs == heads[0].inputs && $0.outputs == heads[0].outputs && $0.elementType == heads[0].elementType
                },
            "packed heads: weights of several shapes or types")
        self.heads = heads
    }

    /// The layout of the parts of rows: part `head` of row `row` begins at offset + row·rowStride + head·headStride.
    public struct Parts: Sendable {
        var storage: Storage
        var offset: Int
        var rowStride: Int
        var headStride: Int

        /// The parts of rows in `storage`.
        public init(_ storage: Storage, offset: Int = 0, rowStride: Int, headStride: Int) {
            (self.storage, self.offset, self.rowStride, self.headStride) = (storage, offset, rowStride, headStride)
        }

        /// One past the last element of `heads` parts of `width` in each of `rows` rows.
        func end(rows: Int, heads: Int, width: Int) -> Int {
            offset + (rows - 1) * rowStride + (heads - 1) * headStride + width
        }
    }

    /// Bytes of the packed weights.
    public var byteCount: Int { heads.reduce(0) { $0 + $1.byteCount } }

    /// Computes output parts [rows, heads, outputs] from input parts [rows, heads, inputs]; the two don't overlap.
    public func run(_ input: Parts, rows: Int, into output: Parts) {
        guard rows > 0 else { return }
        let (inputs, outputs) = (heads[0].inputs, heads[0].outputs)
        precondition(
            input.end(rows: rows, heads: heads.count, width: inputs) <= input.storage.count
                && output.end(rows: rows, heads: heads.count, width: outputs) <= output.storage.count,
            "packed heads: parts outside their storages")
        let kernel = unsafe kernels.panels
        let isRounded = heads[0].elementType == .bfloat16
        let words = PackedRows.words(inputs, heads[0].elementType)
        let block = min(rows, 96)
        let blocks = (rows + block - 1) / block
        let columns = Int(kernel.columns)
        Parallel.forEach(heads.count * blocks) { unit in
            let (head, start) = (unit / blocks, unit % blocks * block)
            let count = min(block, rows - start)
            let from = unsafe input.storage.pointer + input.offset + start * input.rowStride + head * input.headStride
            var job = unsafe heads[head].product
            unsafe job.rows = Int64(count)
            unsafe job.input = UnsafeRawPointer(from)
            unsafe job.inputStride = Int64(input.rowStride)
            let to = unsafe output.storage.pointer + output.offset + start * output.rowStride + head * output.headStride
            unsafe job.output = UnsafeMutableRawPointer(to)
            unsafe job.outputStride = Int64(output.rowStride)
            unsafe job.epilogue = Int32(KK_PANEL_STORE.rawValue)
            unsafe Scratch.with(count * columns + (isRounded ? count * words : 0)) { scratch in
                if isRounded {
                    let rounded = unsafe UnsafeMutableRawPointer(scratch + count * columns).assumingMemoryBound(
                        to: UInt32.self)
                    unsafe kernel.round(from, Int64(input.rowStride), Int64(count), Int64(inputs), rounded, Int64(words))
                    unsafe job.input = UnsafeRawPointer(rounded)
                    unsafe job.inputStride = Int64(words)
                }
                unsafe kernel.multiply(&job, 0, Int64(heads[head].panelCount), scratch)
            }
        }
    }
}
