import CKernels
import Foundation
import Random
import TestSupport
import Testing

@Suite struct ElementwiseKernelTests {
    @Test(arguments: Level.all)
    func `binary maps are exact for every pair of steps`(level: Level) {
        let n = 133
        let a = random(n, seed: 1)
        let b = random(n, seed: 2)
        let ops: [(UInt32, (Float, Float) -> Float)] = [
            (KK_ADD.rawValue, { $0 + $1 }), (KK_SUB.rawValue, { $0 - $1 }), (KK_MUL.rawValue, { $0 * $1 }),
            (KK_DIV.rawValue, { $0 / $1 }),
            (KK_MAX.rawValue, { max($0, $1) }), (KK_EQUAL.rawValue, { $0 == $1 ? 1 : 0 }),
        ]
        for (op, f) in ops {
            for (aStep, bStep) in [(1, 1), (0, 1), (1, 0), (0, 0)] {
                var y = [Float](repeating: .nan, count: n)
                level.table.binary(Int32(op), a, Int64(aStep), b, Int64(bStep), &y, Int64(n))
                #expect(y == (0..<n).map { f(a[$0 * aStep], b[$0 * bStep]) })
            }
        }
        var y: [Float] = [0, 0, 0]
        level.table.binary(Int32(KK_MAX.rawValue), [.nan, 1, .nan], 1, [1, .nan, .nan], 1, &y, 3)
        #expect(y.allSatisfy { $0.isNaN })
    }

    @Test(arguments: Level.all)
    func `scaling, adding, selecting`(level: Level) {
        let n = 101
        let (x, start) = (random(n, seed: 3), random(n, seed: 4))
        var y = start
        level.table.axpy(0.5, x, &y, Int64(n))
        #expect(differences(y, zip(x, start).map { Double($0) * 0.5 + Double($1) }, relative: 6e-8) == [])
        level.table.scale(-3, x, &y, Int64(n))
        #expect(y == x.map { -3 * $0 })
        let mask: [Float] = (0..<n).map { $0 % 3 == 0 ? 0 : 2 }
        for (aStep, bStep) in [(1, 1), (0, 1), (1, 0), (0, 0)] {
            level.table.select(mask, x, Int64(aStep), start, Int64(bStep), &y, Int64(n))
            #expect(y == (0..<n).map { mask[$0] != 0 ? x[$0 * aStep] : start[$0 * bStep] })
        }
    }

    @Test(arguments: Level.all)
    func `reductions of every length up to 100, and long ones`(level: Level) {
        for n in Array(0...100) + [4095, 4096, 4097, 100_000] {
            let x = random(n, seed: UInt64(n))
            let y = random(n, seed: 7)
            let exact = x.reduce(0) { $0 + Double($1) }
            let squares = x.reduce(0) { $0 + Double($1) * Double($1) }
            let dot = zip(x, y).reduce(0) { $0 + Double($1.0) * Double($1.1) }
            // Float32 partial sums of at most 256 terms a lane (dot: n/16), then Float64.
            #expect(abs(level.table.sum(x, Int64(n)) - exact) <= 1e-6 * Double(n).squareRoot() + 1e-7)
            #expect(abs(level.table.sum_squares(x, Int64(n)) - squares) <= 1e-6 * squares)
            #expect(abs(Double(level.table.dot(x, y, Int64(n))) - dot) <= 2e-6 * Double(n).squareRoot() + 1e-7)
            #expect(level.table.maximum(x, Int64(n)) == x.max() ?? -.infinity)
            #expect(Int(level.table.argmax(x, Int64(n))) == x.firstIndex(of: x.max() ?? 0) ?? 0)
            // The first of equal ones.
            for place in Set([0, n / 3, n - 1]) where n > 0 {
                var tied = x
                (tied[place], tied[n - 1]) = (9, 9)
                #expect(Int(level.table.argmax(tied, Int64(n))) == place)
            }
            if n > 0 {
                var broken = x
                broken[n / 2] = .nan
                #expect(level.table.maximum(broken, Int64(n)).isNaN)
                #expect(level.table.argmax(broken, Int64(n)) == 0)
            }
        }
    }

    @Test(arguments: Level.all)
    func `reading takes every word once, whatever their number`(level: Level) {
        for n in [0, 1, 7, 31, 32, 33, 1000] {
            var generator = SeededGenerator(seed: UInt64(n))
            let words = (0..<n).map { _ in UInt64.random(in: 0 ... .max, using: &generator) }
            #expect(level.table.read(words, Int64(n)) == words.reduce(0, &+))
        }
    }

    @Test func `sums are the same for every instruction set`() {
        let x = random(10_007, seed: 5)
        #expect(Set(Level.all.map { $0.table.sum(x, Int64(x.count)) }).count == 1)
    }

    @Test(arguments: Level.all)
    func `columns are summed and maximised`(level: Level) {
        for (rows, width, stride) in [(1, 1, 1), (3, 5, 9), (300, 64, 64), (257, 70, 80), (1000, 130, 130), (5000, 3, 3)] {
            let x = random(rows * stride, seed: UInt64(rows))
            let start = random(width, seed: 6)
            let column: (Int) -> [Float] = { j in (0..<rows).map { x[$0 * stride + j] } }
            for accumulate: Int32 in [0, 1] {
                var sums = start + [7, 7]
                level.table.column_sum(x, Int64(rows), Int64(stride), &sums, Int64(width), accumulate)
                // Blocks of 256 Float32 additions of magnitude 10, 20 of them: √5000 · 6·10⁻⁸ · 10.
                let expected = (0..<width).map { j in column(j).reduce(accumulate == 1 ? Double(start[j]) : 0) { $0 + Double($1) }
                }
                #expect(differences(Array(sums.prefix(width)), expected, absolute: 1e-4) == [])
                var maxima = start + [7, 7]
                level.table.column_maximum(x, Int64(rows), Int64(stride), &maxima, Int64(width), accumulate)
                let greatest = (0..<width).map { j in max(column(j).max()!, accumulate == 1 ? start[j] : -.infinity) }
                #expect(Array(maxima.prefix(width)) == greatest)
                #expect(sums.suffix(2) == [7, 7] && maxima.suffix(2) == [7, 7])
            }
        }
    }

    @Test(arguments: Level.all)
    func `strided copies of every kind`(level: Level) {
        for (n0, n1) in [(1, 1), (3, 70), (70, 3), (17, 33), (40, 100)] {
            let size = 4 * n0 * n1 + 100
            let x = random(size, seed: 1)
            let start = random(size, seed: 2)
            // x by rows, by columns, repeated; y by rows and by columns.
            for (xs0, xs1) in [(n1, 1), (1, n0), (0, 1), (1, 0), (2 * n1, 2)] {
                for (ys0, ys1) in [(n1, 1), (1, n0), (n1 + 3, 1), (2 * n1, 2)] {
                    for accumulate: Int32 in [0, 1] {
                        var y = start
                        level.table.strided_copy(
                            Int64(n0), Int64(n1), x, Int64(xs0), Int64(xs1), &y, Int64(ys0), Int64(ys1), accumulate)
                        var expected = start
                        for i in 0..<n0 {
                            for j in 0..<n1 {
                                let old = accumulate == 1 ? expected[i * ys0 + j * ys1] : 0
                                expected[i * ys0 + j * ys1] = old + x[i * xs0 + j * xs1]
                            }
                        }
                        #expect(y == expected, "\(n0)×\(n1), \(xs0) \(xs1) → \(ys0) \(ys1), \(accumulate)")
                    }
                }
            }
        }
    }

    @Test(arguments: Level.all)
    func `dropout draws SplitMix64's values by index`(level: Level) {
        var generator = SeededGenerator(seed: 42)
        let threshold: UInt32 = 1 << 22
        let draws = (0..<200).map { _ in UInt32(generator.next() >> 40) }
        let x = random(200, seed: 1)
        var y = [Float](repeating: .nan, count: 150)
        level.table.dropout(Array(x[50...]), &y, 150, 42, 50, threshold, 2)
        #expect(y == (50..<200).map { draws[$0] >= threshold ? 2 * x[$0] : 0 })
    }

    @Test(arguments: Level.all)
    func `AdamW follows its definition`(level: Level) {
        let n = 77
        var (p, m, v) = (random(n, seed: 1), random(n, seed: 2), random(n, seed: 3, in: 0...1))
        let (p0, m0, v0, g) = (p, m, v, random(n, seed: 4))
        let (rate, b1, b2, epsilon, decay, scale) = (0.01, 0.9, 0.95, 1e-8, 0.1, 0.5)
        let (c1, c2) = (1 - pow(b1, 3), 1 - pow(b2, 3))
        level.table.adamw(
            &p, g, &m, &v, Int64(n),
            kk_adamw(
                learningRate: Float(rate), beta1: Float(b1), beta2: Float(b2), epsilon: Float(epsilon), decay: Float(decay),
                correction1: Float(c1), correction2: Float(c2), gradientScale: Float(scale)))
        for i in 0..<n {
            let gradient = Double(g[i]) * scale
            let first = b1 * Double(m0[i]) + (1 - b1) * gradient
            let second = b2 * Double(v0[i]) + (1 - b2) * gradient * gradient
            let expected = Double(p0[i]) * (1 - rate * decay) - rate * (first / c1) / ((second / c2).squareRoot() + epsilon)
            #expect(abs(Double(m[i]) - first) <= 2e-7)
            #expect(abs(Double(v[i]) - second) <= 2e-7)
            #expect(abs(Double(p[i]) - expected) <= 3e-7)
        }
    }

    @Test(arguments: Level.all)
    func `SwiGLU and its gradient, in place too`(level: Level) {
        let (rows, n) = (3, 37)
        let gateUp = random(rows * 2 * n, seed: 1, in: -4...4)
        let dy = random(rows * n, seed: 2)
        var y = [Float](repeating: .nan, count: rows * n)
        var gradient = [Float](repeating: .nan, count: gateUp.count)
        var inPlace = gateUp
        level.table.swiglu(gateUp, &y, Int64(rows), Int64(n))
        level.table.swiglu_gradient(gateUp, dy, &gradient, Int64(rows), Int64(n))
        inPlace.withUnsafeMutableBufferPointer {
            level.table.swiglu_gradient($0.baseAddress, dy, $0.baseAddress, Int64(rows), Int64(n))
        }
        for r in 0..<rows {
            for i in 0..<n {
                let (g, u, d) = (Double(gateUp[r * 2 * n + i]), Double(gateUp[r * 2 * n + n + i]), Double(dy[r * n + i]))
                let s = 1 / (1 + exp(-g))
                #expect(abs(Double(y[r * n + i]) - g * s * u) <= 2e-6)
                #expect(abs(Double(gradient[r * 2 * n + i]) - d * u * s * (1 + g * (1 - s))) <= 2e-6)
                #expect(abs(Double(gradient[r * 2 * n + n + i]) - d * g * s) <= 2e-6)
            }
        }
        #expect(differences(inPlace, gradient) == [])
    }
}
