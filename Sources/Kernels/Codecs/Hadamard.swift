import Threads

/// The Walsh–Hadamard transform H / √n of vectors, in blocks of n elements, the greatest power of two that divides their width:
/// orthogonal and its own inverse.
///
/// It spreads an element that is large beside the others over all of its block, so that a scale for all of them wastes less
/// (Ashkboos et al. 2024, QuaRot, section 3).
enum Hadamard {
    /// Transforms a vector of `width` elements in place.
    static func transform(_ vector: UnsafeMutablePointer<Float>, width: Int) {
        let size = width & -width
        var half = 1
        while half < size {
            for first in stride(from: 0, to: width, by: 2 * half) {
                for index in first..<first + half {
                    let (a, b) = unsafe (vector[index], vector[index + half])
                    unsafe vector[index] = a + b
                    unsafe vector[index + half] = a - b
                }
            }
            half *= 2
        }
        let factor = 1 / Float(size).squareRoot()
        for index in 0..<width { unsafe vector[index] *= factor }
    }
}

/// Rotation of rows for an encoding of rotated vectors: products of queries and keys stay as they are, and outputs, which are means
/// of values, are turned back.
extension PagedAttentionKernel {
    /// A copy of rows [rows, rowWidth] with each head's queries, keys and values transformed, each by itself where they are
    /// encoded by themselves.
    public func rotated(_ qkv: Storage) -> Storage {
        let keys = KVEncoding.keyWidths(
            keyDim: layout.keyDim, valueDim: layout.valueDim, valuesAreKeys: layout.valuesAreKeys)
        var widths = [[Int]](repeating: keys, count: heads + (storesKeys ? layout.kvHeads : 0)).flatMap { $0 }
        if storesKeys, !layout.valuesAreKeys { widths += [Int](repeating: layout.valueDim, count: layout.kvHeads) }
        let (rowWidth, vectors) = (rowWidth, widths)
        let result = Storage(count: qkv.count)
        Parallel.forRanges(qkv.count / rowWidth, grain: 16) { rows in
            for row in rows {
                var vector = unsafe result.pointer + row * rowWidth
                unsafe vector.update(from: qkv.pointer + row * rowWidth, count: rowWidth)
                for width in vectors {
                    unsafe Hadamard.transform(vector, width: width)
                    unsafe vector += width
                }
            }
        }
        return result
    }

    /// Turns the outputs [rows, heads·valueDim] of rotated rows back, in place.
    public func turnBack(_ output: Storage) {
        let width = layout.valueDim
        Parallel.forRanges(output.count / width, grain: 64) { vectors in
            for vector in vectors { unsafe Hadamard.transform(output.pointer + vector * width, width: width) }
        }
    }
}
