import CKernels
import Foundation
import TestSupport
import Testing

/// Kernels that work on rows: softmax, cross-entropy, norms, rotation. References are in Float64.
@Suite struct RowKernelTests {
    static let widths = [1, 2, 15, 16, 17, 33, 100, 1000]
    static let cases = Level.all.flatMap { level in widths.map { (level, $0) } }

    private func rows(_ x: [Float], _ n: Int) -> [[Double]] {
        stride(from: 0, to: x.count, by: n).map { x[$0..<$0 + n].map(Double.init) }
    }

    private func softmax(_ row: [Double]) -> [Double] {
        let top = row.max() ?? 0
        let e = row.map { exp($0 - top) }
        let total = e.reduce(0, +)
        return e.map { $0 / total }
    }

    @Test(arguments: cases)
    func `softmax, log-softmax and their gradients`(level: Level, n: Int) {
        let count = 3 * n
        let x = random(count, seed: 1, in: -10...10)
        let dy = random(count, seed: 2)
        var (y, l, dx) = (x, x, x)
        level.table.softmax(x, &y, 3, Int64(n))
        level.table.log_softmax(x, &l, 3, Int64(n))
        let expected = rows(x, n).map(softmax)
        #expect(differences(y, expected.flatMap { $0 }, absolute: 1e-7, relative: 1e-6) == [])
        #expect(differences(l, expected.flatMap { $0.map { log($0) } }, absolute: 3e-6) == [])
        level.table.softmax_gradient(y, dy, &dx, 3, Int64(n))
        let upstream = rows(dy, n)
        let gradient = zip(expected, upstream).flatMap { p, d in
            let inner = zip(p, d).reduce(0) { $0 + $1.0 * $1.1 }
            return zip(p, d).map { $0 * ($1 - inner) }
        }
        #expect(differences(dx, gradient, absolute: 1e-6) == [])
        level.table.log_softmax_gradient(l, dy, &dx, 3, Int64(n))
        let logGradient = zip(expected, upstream).flatMap { p, d in
            let total = d.reduce(0, +)
            return zip(p, d).map { $1 - $0 * total }
        }
        #expect(differences(dx, logGradient, absolute: 1e-5, relative: 1e-6) == [])
    }

    @Test(arguments: cases)
    func `cross-entropy, its gradient, and rows without a target`(level: Level, n: Int) {
        let x = random(3 * n, seed: 3, in: -10...10)
        let targets: [Int32] = [0, -100, Int32(n - 1)]
        let p = rows(x, n).map(softmax)
        let losses = [-log(p[0][0]), 0, -log(p[2][n - 1])]
        var (only, both) = ([Float](repeating: .nan, count: 3), [Float](repeating: .nan, count: 3))
        var (untouched, gradient) = (x, x)
        level.table.cross_entropy(&untouched, targets, &only, 3, Int64(n), 0.25, 0)
        level.table.cross_entropy(&gradient, targets, &both, 3, Int64(n), 0.25, 1)
        #expect(untouched == x)
        #expect(only == both)
        #expect(differences(only, losses, absolute: 4e-6) == [])
        let expected = (0..<3).flatMap { r in
            (0..<n).map { targets[r] < 0 ? 0 : 0.25 * (p[r][$0] - (Int(targets[r]) == $0 ? 1 : 0)) }
        }
        #expect(differences(gradient, expected, absolute: 1e-7, relative: 2e-6) == [])
    }

    @Test(arguments: cases)
    func `distillation's losses, its gradient, and rows without a target`(level: Level, n: Int) {
        let (q, p) = (random(3 * n, seed: 14, in: -10...10), random(3 * n, seed: 15, in: -10...10))
        let targets: [Int32] = [0, -100, Int32(n - 1)]
        for (share, t) in [(0.25, 1.0), (0.75, 2.0)] {
            func tempered(_ row: [Double]) -> [Double] { softmax(row.map { $0 / t }) }
            let (plain, own, other) = (rows(q, n).map(softmax), rows(q, n).map(tempered), rows(p, n).map(tempered))
            let expected = (0..<3).map { targets[$0] < 0 ? 0 : -log(plain[$0][Int(targets[$0])]) }
            let divergence = (0..<3).map { r in
                targets[r] < 0 ? 0 : zip(other[r], own[r]).reduce(0) { $0 + $1.0 * log($1.0 / $1.1) }
            }
            let slope = (0..<3).flatMap { r in
                (0..<n).map { i -> Double in
                    let text = plain[r][i] - (Int(targets[r]) == i ? 1 : 0)
                    return targets[r] < 0 ? 0 : 0.5 * ((1 - share) * text + share * t * (own[r][i] - other[r][i]))
                }
            }
            for wanted: Int32 in [0, 1] {
                var (logits, teacher) = (q, p)
                var (losses, divergences) = ([Float](repeating: .nan, count: 3), [Float](repeating: .nan, count: 3))
                level.table.distillation(
                    &logits, &teacher, targets, &losses, &divergences, 3, Int64(n), 0.5, Float(share), Float(t), wanted)
                #expect(differences(losses, expected, absolute: 4e-6) == [])
                #expect(differences(divergences, divergence, absolute: 4e-6, relative: 1e-6) == [])
                if wanted == 0 {
                    #expect(logits == q)
                } else {
                    #expect(differences(logits, slope, absolute: 2e-7, relative: 2e-6) == [])
                }
            }
        }
    }

    @Test(arguments: Level.all)
    func `cross-entropy keeps NaN and infinity visible`(level: Level) {
        for bad in [Float.nan, .infinity] {
            var logits = random(20, seed: 1)
            logits[3] = bad
            var losses: [Float] = [0]
            level.table.cross_entropy(&logits, [5], &losses, 1, 20, 1, 0)
            #expect(!losses[0].isFinite)
        }
    }

    @Test(arguments: cases)
    func `RMSNorm and its gradient`(level: Level, n: Int) {
        let r = 4
        let x = random(r * n, seed: 4, in: 0.1...2)
        let (w, dy) = (random(n, seed: 5), random(r * n, seed: 6))
        let epsilon = 1e-5
        var (y, again) = (x, x)
        var rstd = [Float](repeating: .nan, count: r)
        level.table.rms_norm(x, w, &y, &rstd, Int64(r), Int64(n), Float(epsilon))
        level.table.rms_norm_apply(x, w, rstd, &again, Int64(r), Int64(n))
        #expect(y == again)
        let weight = w.map(Double.init)
        var (expected, expectedGradient) = ([Double](), [Double]())
        var expectedWeight = [Double](repeating: 1, count: n)
        for (row, d) in zip(rows(x, n), rows(dy, n)) {
            let s = 1 / (row.reduce(0) { $0 + $1 * $1 } / Double(n) + epsilon).squareRoot()
            let inner = (0..<n).reduce(0) { $0 + row[$1] * weight[$1] * d[$1] }
            for i in 0..<n {
                expected.append(row[i] * s * weight[i])
                expectedGradient.append(s * weight[i] * d[i] - row[i] * s * s * s / Double(n) * inner)
                expectedWeight[i] += row[i] * s * d[i]
            }
        }
        #expect(differences(y, expected, absolute: 1e-6) == [])
        for accumulate: Int32 in [0, 1] {
            let start = random(r * n, seed: 7)
            var dx = start
            var dw = [Float](repeating: 1, count: n)
            level.table.rms_norm_gradient(x, w, rstd, dy, &dx, &dw, Int64(r), Int64(n), accumulate)
            let total = zip(expectedGradient, start).map { accumulate == 1 ? $0 + Double($1) : $0 }
            #expect(differences(dx, total, absolute: 5e-6) == [])
            #expect(differences(dw, expectedWeight, absolute: 2e-6) == [])
        }
    }

    @Test(arguments: cases)
    func `LayerNorm and its gradient`(level: Level, n: Int) {
        let r = 4
        // Far from zero mean: the variance must not come from a difference of large squares.
        let x = random(r * n, seed: 8, in: 99...101)
        let (w, b, dy) = (random(n, seed: 9), random(n, seed: 10), random(r * n, seed: 11))
        let epsilon = 1e-2
        var (y, dx) = (x, x)
        var (mean, rstd) = ([Float](repeating: .nan, count: r), [Float](repeating: .nan, count: r))
        var (dw, db) = ([Float](repeating: 1, count: n), [Float](repeating: 2, count: n))
        level.table.layer_norm(x, w, b, &y, &mean, &rstd, Int64(r), Int64(n), Float(epsilon))
        level.table.layer_norm_gradient(x, w, mean, rstd, dy, &dx, &dw, &db, Int64(r), Int64(n))
        let weight = w.map(Double.init)
        var (expected, expectedGradient) = ([Double](), [Double]())
        var (expectedWeight, expectedBias) = ([Double](repeating: 1, count: n), [Double](repeating: 2, count: n))
        for (row, d) in zip(rows(x, n), rows(dy, n)) {
            let m = row.reduce(0, +) / Double(n)
            let s = 1 / (row.reduce(0) { $0 + ($1 - m) * ($1 - m) } / Double(n) + epsilon).squareRoot()
            let h = row.map { ($0 - m) * s }
            let g = (0..<n).map { weight[$0] * d[$0] }
            let meanG = g.reduce(0, +) / Double(n)
            let meanGH = (0..<n).reduce(0) { $0 + g[$1] * h[$1] } / Double(n)
            for i in 0..<n {
                expected.append(h[i] * weight[i] + Double(b[i]))
                expectedGradient.append(s * (g[i] - meanG - h[i] * meanGH))
                expectedWeight[i] += h[i] * d[i]
                expectedBias[i] += d[i]
            }
        }
        // x − mean is a difference of numbers near 100, whose ulp is 7.6·10⁻⁶; mean itself is rounded there. Times rstd ≤ 10.
        #expect(differences(y, expected, absolute: 1e-4) == [])
        #expect(differences(dx, expectedGradient, absolute: 1e-3) == [])
        #expect(differences(dw, expectedWeight, absolute: 4e-4) == [])
        #expect(differences(db, expectedBias, absolute: 2e-6) == [])
    }

    @Test(arguments: Level.all)
    func `rotation turns pairs half a head apart, and back`(level: Level) {
        let (rows, heads, d, stride) = (5, 3, 40, 3 * 40 + 7)
        let half = d / 2
        let positions: [Int32] = [0, 3, 3, 1, 6]
        let angles = (0..<7 * half).map { Double($0 / half) * pow(100, -2 * Double($0 % half) / Double(d)) }
        let (cosine, sine) = (angles.map { Float(cos($0)) }, angles.map { Float(sin($0)) })
        let start = random(rows * stride, seed: 12)
        var x = start
        func rotate(_ inverse: Int32) {
            cosine.withUnsafeBufferPointer { c in
                sine.withUnsafeBufferPointer { s in
                    level.table.rotate(
                        &x, positions, Int64(rows), Int64(stride), Int64(heads), Int64(d),
                        kk_rotary(cosine: c.baseAddress, sine: s.baseAddress, half: Int64(half), start: 0), inverse)
                }
            }
        }
        rotate(0)
        var expected = start.map(Double.init)
        for r in 0..<rows {
            for h in 0..<heads {
                for i in 0..<half {
                    let (at, angle) = (r * stride + h * d + i, angles[Int(positions[r]) * half + i])
                    let (p, q) = (Double(start[at]), Double(start[at + half]))
                    expected[at] = p * cos(angle) - q * sin(angle)
                    expected[at + half] = q * cos(angle) + p * sin(angle)
                }
            }
        }
        #expect(differences(x, expected, absolute: 3e-7) == [])
        rotate(1)
        #expect(differences(x, start, absolute: 6e-7) == [])
    }
}
