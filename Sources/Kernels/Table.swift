import CKernels

/// The vector kernels in use.
enum Table {
    nonisolated(unsafe) static let best: UnsafePointer<kk_table> = unsafe kk_best()
}

/// The kernel table in use.
var kernels: kk_table { unsafe Table.best.pointee }
