import CKernels
import TestSupport
import Testing

@Suite struct TileGemmTests {
    @Test(arguments: Level.all)
    func `every tail of rows and columns`(level: Level) {
        for m in 1...13 {
            for n in stride(from: 16, through: 144, by: 16) {
                for k in [0, 1, 7, 40] {
                    for (ars, acs) in [(k + 2, 1), (1, m + 1)] {
                        check(level, m, n, k, ars: ars, acs: acs)
                    }
                }
            }
        }
    }

    private func check(_ level: Level, _ m: Int, _ n: Int, _ k: Int, ars: Int, acs: Int) {
        let (ldb, ldc) = (n + 5, n + 3)
        let a = random(m * ars + k * acs + 1, seed: 1)
        let b = random(k * ldb + 1, seed: 2)
        let start = random(m * ldc, seed: 3)
        for accumulate: Int32 in [0, 1] {
            var c = start
            level.table.tile_gemm(
                Int64(m), Int64(n), Int64(k), a, Int64(ars), Int64(acs), b, Int64(ldb), &c, Int64(ldc), accumulate)
            var expected = start.map(Double.init)
            for i in 0..<m {
                for j in 0..<n {
                    var sum = accumulate == 1 ? expected[i * ldc + j] : 0
                    for p in 0..<k { sum += Double(a[i * ars + p * acs]) * Double(b[p * ldb + j]) }
                    expected[i * ldc + j] = sum
                }
            }
            // 40 terms of magnitude 1 in Float32; what lies between the rows stays as it was.
            let found = differences(c, expected, absolute: 4e-6)
            #expect(found == [], "\(m)×\(n)×\(k), a by \(ars), \(acs), accumulate \(accumulate)")
        }
    }
}
