/// What the machine's matrix products reach: the yardstick for model-FLOPs utilisation.
public enum PeakMeasurement {
    /// Floating-point operations a second of a square product of side `side`, the best of `repeats`, all threads.
    public static func gemmFlopsPerSecond(side: Int = 1024, repeats: Int = 5) -> Double {
        let a = Storage(repeating: 0.5, count: side * side)
        let b = Storage(repeating: 0.25, count: side * side)
        let c = Storage(count: side * side)
        let clock = ContinuousClock()
        var best = Duration.seconds(1 << 30)
        for _ in 0...repeats {
            let start = clock.now
            MatMul.multiply(
                Matrix(a, rows: side, columns: side), Matrix(b, rows: side, columns: side),
                into: Matrix(c, rows: side, columns: side))
            best = min(best, clock.now - start)
        }
        return 2 * Double(side) * Double(side) * Double(side) / (best / .seconds(1))
    }
}
