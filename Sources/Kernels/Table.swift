import CKernels

nonisolated(unsafe) private let best: UnsafePointer<kk_table> = unsafe kk_best()

/// The kernel table in use.
var kernels: kk_table { unsafe best.pointee }

/// The vector kernels of this process.
public enum VectorKernels {
    /// Their instruction set: base, v3 (AVX2), v4 (AVX-512), v4-bf16 or v4-amx.
    public static var instructionSet: String { unsafe String(cString: best.pointee.name) }
}
