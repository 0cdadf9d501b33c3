import CKernels
import Threads

/// Copies between arrays of different strides: permutations, slices, concatenations, broadcasts.
public enum StridedCopy {
    /// An array's first element and its stride along each axis; 0 repeats along the axis (for reading).
    public struct View: Sendable {
        /// The storage viewed.
        public let storage: Storage
        /// The element of `storage` at index [0, …, 0].
        public let offset: Int
        /// The stride in elements of each axis; never negative, one for each axis of the copy.
        public let strides: [Int]

        /// A view from element `offset` on; ``copy(_:to:extents:accumulate:)`` checks that it stays inside `storage`.
        public init(_ storage: Storage, offset: Int = 0, strides: [Int]) {
            self.storage = storage
            self.offset = offset
            self.strides = strides
        }

        /// A view of all of `storage`, row-major, broadcast to `rank` axes.
        public init(_ storage: Storage, shape: [Int], rank: Int? = nil) {
            self.init(storage, strides: LoopNest.broadcastStrides(shape, rank: rank ?? shape.count))
        }

        func fits(_ extents: [Int]) -> Bool {
            guard strides.count == extents.count, offset >= 0, strides.allSatisfy({ $0 >= 0 }) else { return false }
            if extents.contains(0) { return true }
            return offset + zip(extents, strides).reduce(0) { $0 + ($1.0 - 1) * $1.1 } < storage.count
        }
    }

    /// y[i…] (+)= x[i…] for every index below `extents`; no two indices may address one element of y.
    public static func copy(_ x: View, to y: View, extents: [Int], accumulate: Bool = false) {
        precondition(
            x.fits(extents) && y.fits(extents), "copy: \(extents) with strides \(x.strides) to \(y.strides) is out of range")
        var nest = LoopNest(extents: extents, strides: [x.strides, y.strides])
        guard nest.count > 0 else { return }
        let inner = nest.removeInnermost() ?? LoopNest.Axis(extent: 1, strides: [1, 1])
        // A second axis beside the innermost: where x is strided along that one, the axis along x's rows.
        var others = nest.axes
        let partner = others.lastIndex { $0.strides[0] == 1 && inner.strides[0] != 1 } ?? others.indices.last
        let second = partner.map { others.remove(at: $0) } ?? LoopNest.Axis(extent: 1, strides: [0, 0])
        let outer = LoopNest(others)
        let rows = max(16, Elementwise.grain / inner.extent / 16 * 16)
        let chunks = (second.extent + rows - 1) / rows
        let unitsWork = min(rows, second.extent) * inner.extent
        let units = outer.count * chunks
        @Sendable func run(_ unit: Int) {
            let start = unit % chunks * rows
            let index = unit / chunks
            unsafe kernels.strided_copy(
                Int64(min(rows, second.extent - start)), Int64(inner.extent),
                x.storage.pointer + x.offset + outer.offset(index, operand: 0) + start * second.strides[0],
                Int64(second.strides[0]), Int64(inner.strides[0]),
                y.storage.pointer + y.offset + outer.offset(index, operand: 1) + start * second.strides[1],
                Int64(second.strides[1]), Int64(inner.strides[1]), accumulate ? 1 : 0)
        }
        Parallel.forRanges(units, grain: max(1, Elementwise.grain / max(unitsWork, 1))) { range in
            for unit in range { run(unit) }
        }
    }
}
