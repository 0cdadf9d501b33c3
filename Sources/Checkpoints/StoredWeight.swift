import Kernels
import Models

/// A weight's place in a file.
struct StoredWeight {
    /// The tensor's name.
    var name: String
    /// The tensor's shape as stored.
    var shape: [Int]
    /// Whether the tensor is [in, out].
    var isTransposed = false
    /// The tensor's outputs that are the weight's, in order; nil for all.
    var rows: [Range<Int>]?

    /// The weight as a view of `stored`, gathered whenever it is read.
    func taken(from stored: Weight) -> Weight {
        guard isTransposed || rows != nil else { return stored }
        let (inputs, outputs) = extents
        let rows = rows ?? [0..<outputs]
        let count = rows.reduce(0) { $0 + $1.count }
        let (size, isTransposed) = (stored.elementType.byteCount, isTransposed)
        let shape = shape.count == 1 ? [count] : [count, inputs]
        return Weight(elementType: stored.elementType, shape: shape) {
            unsafe stored.withUnsafeBytes { from in
                unsafe [UInt8](unsafeUninitializedCapacity: count * inputs * size) { to, initialized in
                    guard let base = from.baseAddress, let into = UnsafeMutableRawPointer(to.baseAddress) else { return }
                    var row = 0
                    for source in rows.joined() {
                        unsafe Self.copy(
                            base, source, outputs: outputs, isTransposed, to: into + row * inputs * size, inputs, size)
                        row += 1
                    }
                    initialized = count * inputs * size
                }
            }
        }
    }

    /// Copies the bytes of `weight` to their places in the bytes of the tensor.
    func put(_ weight: Weight, into bytes: inout [UInt8]) {
        let (inputs, outputs) = extents
        let size = weight.elementType.byteCount
        let rows = rows ?? [0..<outputs]
        unsafe weight.withUnsafeBytes { from in
            unsafe bytes.withUnsafeMutableBytes { to in
                for (index, row) in rows.joined().enumerated() {
                    for input in 0..<inputs {
                        let source = (index * inputs + input) * size
                        let target = (isTransposed ? input * outputs + row : row * inputs + input) * size
                        for byte in 0..<size { unsafe to[target + byte] = from[source + byte] }
                    }
                }
            }
        }
    }

    private var extents: (inputs: Int, outputs: Int) {
        guard shape.count == 2 else { return (1, shape[0]) }
        return isTransposed ? (shape[0], shape[1]) : (shape[1], shape[0])
    }

    /// Copies one output's row.
    private static func copy(
        _ base: UnsafeRawPointer, _ row: Int, outputs: Int, _ isTransposed: Bool, to: UnsafeMutableRawPointer, _ inputs: Int,
        _ size: Int
    ) {
        guard isTransposed else { return unsafe to.copyMemory(from: base + row * inputs * size, byteCount: inputs * size) }
        for input in 0..<inputs {
            unsafe (to + input * size).copyMemory(from: base + (input * outputs + row) * size, byteCount: size)
        }
    }

    /// The tensor made up of the weights of these places.
    static func joined(_ parts: [(StoredWeight, Weight)]) -> Weight {
        let (place, first) = parts[0]
        guard place.isTransposed || place.rows != nil else { return first }
        // Parts converted and parts kept may differ in element type.
        let isUniform = parts.allSatisfy { $0.1.elementType == first.elementType }
        return Weight(elementType: isUniform ? first.elementType : .float32, shape: place.shape) {
            let type = isUniform ? first.elementType : ElementType.float32
            var bytes = [UInt8](repeating: 0, count: place.shape.reduce(type.byteCount, *))
            for (place, weight) in parts {
                place.put(isUniform ? weight : Weight(shape: weight.shape, storage: weight.float32()), into: &bytes)
            }
            return bytes
        }
    }
}
