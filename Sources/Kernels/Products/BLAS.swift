import COpenBLAS

/// OpenBLAS on its caller's thread alone: its own threads would compete with the pool's.
enum BLAS {
    /// Evaluated before a call of OpenBLAS or LAPACK.
    static let singleThreaded: Void = openblas_set_num_threads(1)
}
