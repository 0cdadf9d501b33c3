import Kernels
import Models

/// The two orders in which files keep the rows of a query or key projection that RoPE turns in pairs.
///
/// Half-split, (i, i + d/2), is kvlab's and Hugging Face's; interleaved, (2i, 2i + 1), is that of llama2.c and of GGUF's
/// llama architecture. The same permutation goes for biases.
enum RotaryOrder {
    /// Rows of each head from interleaved into half-split order, whenever the weight is read.
    static func halfSplit(_ weight: Weight, headDim: Int) -> Weight {
        reordered(weight, headDim: headDim) { 2 * ($0 % (headDim / 2)) + $0 / (headDim / 2) }
    }

    /// Rows of each head from half-split into interleaved order, whenever the weight is read.
    static func interleaved(_ weight: Weight, headDim: Int) -> Weight {
        reordered(weight, headDim: headDim) { $0 / 2 + $0 % 2 * (headDim / 2) }
    }

    /// Row r of each head comes from the row `source` gives.
    private static func reordered(_ weight: Weight, headDim: Int, _ source: @escaping @Sendable (Int) -> Int) -> Weight {
        let rowBytes = weight.byteCount / weight.shape[0]
        let rows = weight.shape[0]
        return Weight(elementType: weight.elementType, shape: weight.shape) {
            unsafe weight.withUnsafeBytes { bytes in
                unsafe [UInt8](unsafeUninitializedCapacity: bytes.count) { output, initialized in
                    for row in 0..<rows {
                        let within = row % headDim
                        let from = row - within + source(within)
                        unsafe UnsafeMutableRawPointer(output.baseAddress! + row * rowBytes).copyMemory(
                            from: bytes.baseAddress! + from * rowBytes, byteCount: rowBytes)
                    }
                    initialized = bytes.count
                }
            }
        }
    }
}
