/// Measures the machine's peak throughput, against which the kernels are compared.
public enum PeakMeasurement {
    /// Floating-point operations a second of packed products of square matrices of `side`, on all threads; the best of `repeats`.
    public static func gemmFlopsPerSecond(_ precision: ComputePrecision = .fp32, side: Int = 1536, repeats: Int = 7) -> Double {
        let a = Storage(repeating: 0.5, count: side * side)
        let c = Storage(count: side * side)
        let matrix = Matrix(a, rows: side, columns: side)
        let panels = GEMMPanels(transposed: [matrix], precision: precision)
        let best = best(of: repeats) {
            GEMM.rows(
                side, .matrix(matrix), panels, into: .matrix(Matrix(c, rows: side, columns: side), accumulate: false))
        }
        return 2 * Double(side) * Double(side) * Double(side) / best
    }

    private static func best(of repeats: Int, _ body: () -> Void) -> Double {
        let clock = ContinuousClock()
        var best = Duration.seconds(1 << 30)
        for _ in 0...repeats { best = min(best, clock.measure(body)) }
        return best / .seconds(1)
    }
}
