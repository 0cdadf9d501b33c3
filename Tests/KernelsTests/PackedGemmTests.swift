import CKernels
import TestSupport
import Testing

@Suite struct PackedGemmTests {
    /// Whether A and B are given as stored or transposed, and which element type.
    struct Layout: Sendable, CustomTestStringConvertible {
        var level: Level
        var type: Int
        var byColumns: Bool
        var transposedB: Bool
        var testDescription: String {
            "\(level.testDescription) \(type == 0 ? "fp32" : "bf16")\(byColumns ? " Aᵀ" : " A")\(transposedB ? " Bᵀ" : " B")"
        }

        static let all = Level.all.flatMap { level in
            [0, 1].flatMap { type in
                [false, true].flatMap { columns in
                    [false, true].map { Layout(level: level, type: type, byColumns: columns, transposedB: $0) }
                }
            }
        }
    }

    @Test(arguments: Layout.all)
    func `every edge agrees with the sum written out`(layout: Layout) {
        for m in [1, 7, 8, 9, 25] {
            for n in [1, 16, 31, 32, 33, 70] {
                for k in [0, 1, 2, 8, 15, 16, 33, 900, 1601] { check(layout, m, n, k) }
            }
        }
    }

    private func check(_ layout: Layout, _ m: Int, _ n: Int, _ k: Int) {
        let table = layout.level.table
        let gemm = layout.type == 0 ? table.gemm.0 : table.gemm.1
        let unit = 8 * Int(gemm.depth)
        let words = (k + unit - 1) / unit * 8
        let (rows, columns) = (Int(gemm.rows), Int(gemm.columns))
        let (aStride, bStride) = ((layout.byColumns ? m : k) + 3, (layout.transposedB ? k : n) + 2)
        let a = random((layout.byColumns ? k : m) * aStride + 1, seed: 1)
        let b = random((layout.transposedB ? n : k) * bStride + 1, seed: 2)
        var left = [Float](repeating: .nan, count: (m + rows - 1) / rows * (words + 1) * rows)
        var right = [Float](repeating: .nan, count: (n + columns - 1) / columns * (words + 1) * columns)
        let (leftStride, rightStride) = ((words + 1) * rows, (words + 1) * columns)
        if layout.byColumns {
            gemm.pack_columns(a, Int64(aStride), Int64(m), Int64(k), &left, Int64(leftStride))
        } else {
            gemm.pack_rows(a, Int64(aStride), Int64(m), Int64(k), &left, Int64(leftStride))
        }
        if layout.transposedB {
            for panel in 0..<(n + columns - 1) / columns {
                let count = min(columns, n - panel * columns)
                right.withUnsafeMutableBufferPointer { right in
                    for index in 0..<words * columns where count < columns { right[panel * rightStride + index] = 0 }
                    b.withUnsafeBufferPointer { b in
                        gemm.pack_transposed(
                            b.baseAddress! + panel * columns * bStride, Int64(bStride), Int64(count), Int64(k),
                            right.baseAddress! + panel * rightStride)
                    }
                }
            }
        } else {
            gemm.pack_panels(b, Int64(bStride), Int64(n), Int64(k), &right, Int64(rightStride))
        }
        let ldc = n + 5
        let start = random(m * ldc, seed: 3)
        for accumulate: Int32 in [0, 1] {
            var c = start
            gemm.multiply(
                layout.byColumns ? 1 : 0, Int64(m), Int64(n), Int64(words), left, Int64(leftStride), right, Int64(rightStride),
                &c,
                Int64(ldc), accumulate)
            var expected = start.map(Double.init)
            for i in 0..<m {
                for j in 0..<n {
                    var sum = accumulate == 1 ? expected[i * ldc + j] : 0
                    for p in 0..<k {
                        let x = layout.byColumns ? a[p * aStride + i] : a[i * aStride + p]
                        let y = layout.transposedB ? b[j * bStride + p] : b[p * bStride + j]
                        sum += layout.type == 0 ? Double(x) * Double(y) : rounded(x) * rounded(y)
                    }
                    expected[i * ldc + j] = sum
                }
            }
            // Up to 1601 terms of magnitude 1 summed in Float32; what lies between the rows stays as it was.
            let found = differences(c, expected, absolute: 3e-6 * Double(k).squareRoot() + 1e-6)
            #expect(found == [], "\(m)×\(n)×\(k), accumulate \(accumulate)")
        }
    }

    /// To BFloat16, ties to even.
    private func rounded(_ x: Float) -> Double {
        let bits = x.bitPattern
        return Double(Float(bitPattern: (bits + 0x7FFF + (bits >> 16) & 1) & 0xFFFF_0000))
    }

    @Test(arguments: Level.all)
    func `NaN and infinity survive the rounding to BFloat16`(level: Level) {
        let gemm = level.table.gemm.1
        for value in [Float.nan, .infinity, -.infinity, Float(bitPattern: 0x7F80_0001)] {
            var left = [Float](repeating: 0, count: 8 * Int(gemm.rows))
            var right = [Float](repeating: 0, count: 8 * Int(gemm.columns))
            gemm.pack_rows([value], 1, 1, 1, &left, Int64(left.count))
            gemm.pack_panels([2], 1, 1, 1, &right, Int64(right.count))
            var c: [Float] = [0]
            gemm.multiply(0, 1, 1, 8, left, Int64(left.count), right, Int64(right.count), &c, 1, 0)
            #expect(value.isNaN ? c[0].isNaN : c[0] == 2 * value)
        }
    }
}
