import CKernels
import Threads

/// Input rows of ``PackedLinear``: Float32, or rounded to BFloat16 where its weights are BFloat16.
///
/// The kernel that produces the rows rounds them while they are in cache, which saves a pass.
public struct PackedRows: Sendable {
    /// Number of rows.
    public let count: Int
    /// Elements of a row.
    public let width: Int
    let isRounded: Bool
    /// Words of 32 bits from one row to the next.
    let stride: Int
    let storage: Storage

    /// The first `count` rows of `values` [.., width], in Float32.
    public init(_ values: Storage, count: Int, width: Int) {
        precondition(values.count >= count * width, "packed rows: \(values.count) values for \(count) rows of \(width)")
        (storage, self.count, self.width) = (values, count, width)
        (isRounded, stride) = (false, width)
    }

    /// Unwritten rows for weights of `elementType`.
    init(count: Int, width: Int, for elementType: ElementType) {
        (self.count, self.width) = (count, width)
        isRounded = elementType == .bfloat16
        stride = Self.words(width, elementType)
        storage = Storage(count: count * stride)
    }

    /// Words of a row of `width` for weights of `elementType`.
    static func words(_ width: Int, _ elementType: ElementType) -> Int {
        guard elementType == .bfloat16 else { return width }
        return unsafe (width + 1) / 2 * 2 / Int(kernels.panels.roundedPerWord)
    }

    /// These rows for weights of `elementType`: unchanged, or rounded.
    func packed(for elementType: ElementType) -> PackedRows {
        guard elementType == .bfloat16, !isRounded else { return self }
        let rows = PackedRows(count: count, width: width, for: elementType)
        Parallel.forRanges(count, grain: rows.grain) { range in
            unsafe rows.round(storage.pointer + range.lowerBound * width, range)
        }
        return rows
    }

    /// Calls `body` with each row's number and the memory for its values, then rounds them where needed.
    func fill(_ body: @Sendable (Int, UnsafeMutablePointer<Float>) -> Void) {
        Parallel.forRanges(count, grain: grain) { range in
            guard isRounded else {
                for row in range { unsafe body(row, storage.pointer + row * stride) }
                return
            }
            unsafe Scratch.with(width) { values in
                for row in range {
                    unsafe body(row, values)
                    unsafe round(values, row..<row + 1)
                }
            }
        }
    }

    /// Rows a thread, at least.
    private var grain: Int { max(1, 1 << 12 / max(1, width)) }

    /// Writes rows `range` from `values` [range, width].
    private func round(_ values: UnsafePointer<Float>, _ range: Range<Int>) {
        unsafe kernels.panels.round(
            values, Int64(width), Int64(range.count), Int64(width), words + range.lowerBound * stride, Int64(stride))
    }

    var words: UnsafeMutablePointer<UInt32> {
        unsafe UnsafeMutableRawPointer(storage.pointer).assumingMemoryBound(to: UInt32.self)
    }
}
