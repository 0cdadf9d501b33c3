import CKernels
import Foundation
import TestSupport
import Testing

/// Causal grouped attention with rotary positions in Float64, forward and backward, by the definition.
struct AttentionReference {
    var (seq, heads, kvHeads, d, dv): (Int, Int, Int, Int, Int)
    var keyStart: [Int32]?
    /// Positions from `sinkStart` on that are seen in front of `keyStart` too.
    var sinks = 0
    var sinkStart: [Int32]?
    /// The first row that sees each key of a KV head, and the first that no longer does, [kvHeads, seq].
    var rowStart: [Int32]?
    var rowEnd: [Int32]?
    var angles: [Double]
    var scale: Double
    /// Planes that turn, and the element of a head at which they begin.
    var half: Int
    var rotaryStart = 0

    var width: Int { (heads + kvHeads) * d + kvHeads * dv }

    /// The keys of a KV head that query i sees.
    func seen(_ i: Int, _ kv: Int) -> [Int] {
        let sink = sinkStart.map { Int($0[i]) } ?? 0
        return (0...i).filter { $0 >= Int(keyStart?[i] ?? 0) || ($0 >= sink && $0 < sink + sinks) }
            .filter { Int(rowStart?[kv * seq + $0] ?? 0) <= i && i < Int(rowEnd?[kv * seq + $0] ?? .max) }
    }

    func rotated(_ x: [Float], _ position: Int, _ start: Int, inverse: Bool = false, values: [Double]? = nil) -> [Double] {
        let row = values ?? (0..<d).map { Double(x[start + $0]) }
        var result = row
        for i in 0..<half {
            let (c, s) = (cos(angles[position * half + i]), (inverse ? -1 : 1) * sin(angles[position * half + i]))
            let (a, b) = (rotaryStart + i, rotaryStart + i + half)
            result[a] = row[a] * c - row[b] * s
            result[b] = row[b] * c + row[a] * s
        }
        return result
    }

    /// One sequence: output, log-sum-exp, and the gradient of qkv for `gradient`.
    func run(_ qkv: [Float], gradient: [Float]) -> (output: [Double], lse: [Double], dqkv: [Double]) {
        var output = [Double](repeating: 0, count: seq * heads * dv)
        var lse = [Double](repeating: 0, count: heads * seq)
        var dqkv = [Double](repeating: 0, count: seq * width)
        for kv in 0..<kvHeads {
            let (kOffset, vOffset) = ((heads + kv) * d, (heads + kvHeads) * d + kv * dv)
            let keys = (0..<seq).map { rotated(qkv, $0, $0 * width + kOffset) }
            let values = (0..<seq).map { t in (0..<dv).map { Double(qkv[t * width + vOffset + $0]) } }
            var dKeys = [[Double]](repeating: [Double](repeating: 0, count: d), count: seq)
            for h in kv * heads / kvHeads..<(kv + 1) * heads / kvHeads {
                for i in 0..<seq {
                    let q = rotated(qkv, i, i * width + h * d)
                    let seen = seen(i, kv)
                    let scores = seen.map { t in
                        var sum = 0.0
                        for j in 0..<d { sum += q[j] * keys[t][j] }
                        return sum * scale
                    }
                    let top = scores.max() ?? 0
                    let total = scores.reduce(0) { $0 + exp($1 - top) }
                    lse[h * seq + i] = top + log(total)
                    let p = scores.map { exp($0 - top) / total }
                    let at = (i * heads + h) * dv
                    for (t, weight) in zip(seen, p) { for j in 0..<dv { output[at + j] += weight * values[t][j] } }
                    var dQ = [Double](repeating: 0, count: d)
                    var inner = 0.0
                    for j in 0..<dv { inner += Double(gradient[at + j]) * output[at + j] }
                    for (t, weight) in zip(seen, p) {
                        var dP = 0.0
                        for j in 0..<dv {
                            let g = Double(gradient[at + j])
                            dP += g * values[t][j]
                            dqkv[t * width + vOffset + j] += weight * g
                        }
                        let dS = weight * (dP - inner) * scale
                        for j in 0..<d {
                            dQ[j] += dS * keys[t][j]
                            dKeys[t][j] += dS * q[j]
                        }
                    }
                    for (j, value) in rotated([], i, 0, inverse: true, values: dQ).enumerated() {
                        dqkv[i * width + h * d + j] = value
                    }
                }
            }
            for t in 0..<seq {
                for (j, value) in rotated([], t, 0, inverse: true, values: dKeys[t]).enumerated() {
                    dqkv[t * width + kOffset + j] = value
                }
            }
        }
        return (output, lse, dqkv)
    }
}

@Suite struct AttentionKernelTests {
    static let shapes = [8, 16, 32, 40, 64, 128].flatMap { d in [1, 5, 64, 65, 130, 300].map { (d, $0) } }

    @Test(arguments: shapes)
    func `causal attention and its gradient agree with the definition`(d: Int, seq: Int) {
        for group in [1, 2, 4] {
            for masked in [false, true] { check(d, seq, group, masked) }
        }
    }

    @Test(arguments: [(24, 16, 9), (16, 40, 70), (48, 32, 300), (40, 40, 333)])
    func `unequal widths, partial rotation and sinks beside a window agree with the definition`(d: Int, dv: Int, seq: Int) {
        for group in [1, 4] {
            for (window, sinks) in [(3, 0), (3, 2), (64, 5), (100, 20), (seq, 4)] {
                for documents in [false, true] {
                    check(d, seq, group, documents, dv: dv, rotary: (start: d / 4, half: d / 8), window: window, sinks: sinks)
                }
            }
        }
    }

    @Test(arguments: [(8, 5), (16, 70), (40, 130), (64, 300)])
    func `rows see a key of a head from its first row to its last, or no key at all`(d: Int, seq: Int) {
        for group in [1, 4] {
            for masked in [false, true] {
                check(d, seq, group, masked, starting: { key, _ in (key / 8 + 1) * 8 })
                check(
                    d, seq, group, masked,
                    ending: { key, head in (key * 7 + head) % 3 == 0 ? seq : key + 1 + (key * 5 + head) % 40 })
                check(d, seq, group, masked, starting: { key, head in key + head }, ending: { key, _ in (key / 32 + 1) * 32 })
            }
        }
        check(d, seq, 2, false, window: 9, sinks: 2, ending: { key, _ in (key / 32 + 2) * 32 })
    }

    private func check(
        _ d: Int, _ seq: Int, _ group: Int, _ masked: Bool, dv: Int? = nil, rotary: (start: Int, half: Int)? = nil,
        window: Int? = nil, sinks: Int = 0, starting: ((_ key: Int, _ head: Int) -> Int)? = nil,
        ending: ((_ key: Int, _ head: Int) -> Int)? = nil
    ) {
        let kvHeads = seq <= 65 ? 2 : 1
        let (heads, half, batch, dv) = (group * kvHeads, rotary?.half ?? d / 2, 2, dv ?? d)
        let angles = (0..<seq * half).map { Double($0 / half) * pow(10_000, -Double($0 % half) / Double(half)) }
        let (cosine, sine) = (angles.map { Float(cos($0)) }, angles.map { Float(sin($0)) })
        // Documents of uneven length; the kernels work on the second of two sequences, the first masked differently.
        let documents = (0..<seq).map { Int32(!masked || $0 < seq / 3 ? 0 : $0 < seq * 2 / 3 ? seq / 3 : seq * 2 / 3) }
        let starts = documents.enumerated().map { max($1, Int32($0 - (window ?? seq) + 1)) }
        let limited = masked || window != nil
        let keyStart = limited ? [Int32](repeating: 0, count: seq) + starts : []
        let sinkStart = masked ? [Int32](repeating: 0, count: seq) + documents : []
        // The rows that see the keys of the second sequence, by head; those of the first would hide them all.
        func rows(_ row: ((Int, Int) -> Int)?, first: Int) -> [Int32] {
            let own = (0..<kvHeads * seq).map { index in Int32(row?(index % seq, index / seq) ?? 0) }
            return [Int32](repeating: Int32(first), count: kvHeads * seq) + own
        }
        let (rowStart, rowEnd) = (rows(starting, first: seq), rows(ending, first: 0))
        var reference = AttentionReference(
            seq: seq, heads: heads, kvHeads: kvHeads, d: d, dv: dv, keyStart: limited ? starts : nil, sinks: sinks,
            sinkStart: documents, angles: angles, scale: 1 / Double(d).squareRoot(), half: half, rotaryStart: rotary?.start ?? 0)
        if starting != nil { reference.rowStart = Array(rowStart[(kvHeads * seq)...]) }
        if ending != nil { reference.rowEnd = Array(rowEnd[(kvHeads * seq)...]) }
        let width = reference.width
        let qkv = random(batch * seq * width, seed: UInt64(d * seq), in: -2...2)
        let gradient = random(batch * seq * heads * dv, seed: 5)
        let expected = reference.run(Array(qkv[(seq * width)...]), gradient: Array(gradient[(seq * heads * dv)...]))
        for level in Level.all {
            let tail: [Float] = [7, 8, 9]
            var output = [Float](repeating: .nan, count: batch * seq * heads * dv) + tail
            var lse = [Float](repeating: .nan, count: batch * heads * seq) + tail
            var dqkv = [Float](repeating: .nan, count: qkv.count) + tail
            let forward = Int(kk_attention_scratch(Int64(seq), Int64(d), Int64(dv), 0))
            let backward = Int(kk_attention_scratch(Int64(seq), Int64(d), Int64(dv), 1))
            // NaN shows what is read before it is written.
            var forwardScratch = [Float](repeating: .nan, count: forward) + tail
            var backwardScratch = [Float](repeating: .nan, count: backward) + tail
            var job = kk_attention()
            job.seq = Int64(seq)
            job.heads = Int64(heads)
            job.kvHeads = Int64(kvHeads)
            job.headDim = Int64(d)
            job.valueDim = Int64(dv)
            job.sinks = Int64(sinks)
            job.scale = Float(reference.scale)
            withBuffers(rowStart, rowEnd, sinkStart) { first, last, sinkStarts in
                let sinkStarts = sinkStarts.baseAddress
                qkv.withUnsafeBufferPointer { q in
                    gradient.withUnsafeBufferPointer { g in
                        keyStart.withUnsafeBufferPointer { k in
                            cosine.withUnsafeBufferPointer { c in
                                sine.withUnsafeBufferPointer { s in
                                    output.withUnsafeMutableBufferPointer { o in
                                        lse.withUnsafeMutableBufferPointer { l in
                                            dqkv.withUnsafeMutableBufferPointer { dq in
                                                job.rotary = kk_rotary(
                                                    cosine: c.baseAddress, sine: s.baseAddress, half: Int64(half),
                                                    start: Int64(rotary?.start ?? 0))
                                                job.keyStart = limited ? k.baseAddress : nil
                                                job.sinkStart = masked ? sinkStarts : nil
                                                job.rowStart = starting == nil ? nil : first.baseAddress
                                                job.rowEnd = ending == nil ? nil : last.baseAddress
                                                job.qkv = q.baseAddress
                                                job.gradient = g.baseAddress
                                                job.output = o.baseAddress
                                                job.logSumExp = l.baseAddress
                                                job.qkvGradient = dq.baseAddress
                                                for head in 0..<Int64(kvHeads) {
                                                    level.table.attention(&job, 1, head, &forwardScratch)
                                                    level.table.attention_gradient(&job, 1, head, &backwardScratch)
                                                }
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            let isCut = starting != nil || ending != nil
            let name =
                "\(level.testDescription): d \(d), seq \(seq), group \(group), masked \(masked), window \(window ?? 0)+\(sinks), rows \(isCut)"
            // Float32 scores up to some √d·4 with relative error 10⁻⁶; gradients sum up to seq·group of such terms.
            #expect(
                differences(Array(output[(seq * heads * dv)...].dropLast(3)), expected.output, absolute: 2e-5) == [], "\(name)")
            #expect(differences(Array(lse[(heads * seq)...].dropLast(3)), expected.lse, absolute: 2e-5) == [], "\(name)")
            #expect(
                differences(Array(dqkv[(seq * width)...].dropLast(3)), expected.dqkv, absolute: 1e-4, relative: 1e-5) == [],
                "\(name)")
            #expect(output.suffix(3) == tail && lse.suffix(3) == tail && dqkv.suffix(3) == tail, "\(name)")
            #expect(forwardScratch.suffix(3) == tail && backwardScratch.suffix(3) == tail, "\(name): scratch overrun")
            #expect(output.prefix(seq * heads * dv).allSatisfy { $0.isNaN } && dqkv.prefix(seq * width).allSatisfy { $0.isNaN })
        }
    }

    private func withBuffers(
        _ a: [Int32], _ b: [Int32], _ c: [Int32],
        _ body: (UnsafeBufferPointer<Int32>, UnsafeBufferPointer<Int32>, UnsafeBufferPointer<Int32>) -> Void
    ) {
        a.withUnsafeBufferPointer { a in b.withUnsafeBufferPointer { b in c.withUnsafeBufferPointer { body(a, b, $0) } } }
    }

    @Test(arguments: [8, 16, 32, 40, 64, 128])
    func `attention over a cache agrees with the definition`(d: Int) {
        for (queries, firstPosition) in [(1, 0), (1, 17), (5, 0), (5, 64), (2, 200)] {
            for (heads, kvHeads, window, sinks) in [(4, 4, 0, 0), (4, 2, 0, 0), (4, 1, 0, 0), (4, 2, 6, 0), (4, 1, 9, 3)] {
                let tokens = firstPosition + queries
                let q = random(queries * heads * d, seed: 1, in: -2...2)
                let keys = random(tokens * kvHeads * d, seed: 2, in: -2...2)
                let values = random(tokens * kvHeads * d, seed: 3, in: -2...2)
                let scale = 1 / Double(d).squareRoot()
                var (expected, expectedLse) = ([Double](), [Double]())
                for i in 0..<queries {
                    for h in 0..<heads {
                        let kv = h * kvHeads / heads
                        let last = firstPosition + i
                        let seen = (0...last).filter { window == 0 || $0 > last - window || $0 < sinks }
                        let scores = seen.map { t in
                            (0..<d).reduce(0.0) {
                                $0 + Double(q[(i * heads + h) * d + $1]) * Double(keys[(t * kvHeads + kv) * d + $1])
                            } * scale
                        }
                        let top = scores.max() ?? 0
                        let total = scores.reduce(0) { $0 + exp($1 - top) }
                        expectedLse.append(top + log(total))
                        for j in 0..<d {
                            expected.append(
                                scores.indices.reduce(0.0) {
                                    $0 + exp(scores[$1] - top) / total * Double(values[(seen[$1] * kvHeads + kv) * d + j])
                                })
                        }
                    }
                }
                for level in Level.all {
                    var output = [Float](repeating: .nan, count: q.count)
                    var lse = [Float](repeating: .nan, count: queries * heads)
                    let size = Int(kk_cached_attention_scratch(Int64(tokens)))
                    var scratch = [Float](repeating: .nan, count: size) + [7, 8]
                    var job = kk_cached_attention()
                    job.queries = Int64(queries)
                    job.heads = Int64(heads)
                    job.kvHeads = Int64(kvHeads)
                    (job.keyDim, job.valueDim) = (Int64(d), Int64(d))
                    (job.window, job.sinks) = (Int64(window), Int64(sinks))
                    job.qStride = Int64(heads * d)
                    (job.keyStride, job.valueStride, job.valueHeadStride) = (Int64(kvHeads * d), Int64(kvHeads * d), Int64(d))
                    job.firstPosition = Int64(firstPosition)
                    job.scale = Float(scale)
                    q.withUnsafeBufferPointer { q in
                        keys.withUnsafeBufferPointer { k in
                            values.withUnsafeBufferPointer { v in
                                output.withUnsafeMutableBufferPointer { o in
                                    lse.withUnsafeMutableBufferPointer { l in
                                        job.q = q.baseAddress
                                        job.keys = k.baseAddress
                                        job.values = v.baseAddress
                                        job.output = o.baseAddress
                                        job.logSumExp = l.baseAddress
                                        for head in 0..<Int64(heads) { level.table.cached_attention(&job, head, &scratch) }
                                    }
                                }
                            }
                        }
                    }
                    #expect(differences(output, expected, absolute: 1e-5) == [], "\(level.testDescription)")
                    #expect(differences(lse, expectedLse, absolute: 1e-5) == [], "\(level.testDescription)")
                    #expect(scratch.suffix(2) == [7, 8])
                }
            }
        }
    }
}
