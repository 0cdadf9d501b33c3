import Autograd
import Foundation
import Kernels
import TestSupport
import Testing
import Threads

@Suite struct FusedOpTests {
    @Test func `the check finds a wrong gradient`() {
        let x = Tensor.random([3], seed: 1, in: 0.5...1)
        #expect(GradientCheck.failures([x]) { $0[0] * $0[0].detached }.count == 3)
        #expect(GradientCheck.failures([x]) { $0[0] * $0[0] } == [])
    }

    @Test func `embedding gathers rows and adds gradients of repeated ids`() {
        let table = Tensor.random([5, 3], seed: 1)
        #expect(GradientCheck.failures([table]) { $0[0].embedding([4, 0, 4, 2]) } == [])
        #expect(GradientCheck.failures([table]) { $0[0].embedding([1, 1]) * $0[0].slice(0..<2) } == [])
        let small = Tensor.variable(Tensor([1, 2, 3, 4], shape: [2, 2]))
        let picked = small.embedding([1, 1, 0])
        #expect(picked.values == [3, 4, 3, 4, 1, 2])
        #expect(picked.sum().gradients()[small]?.values == [1, 1, 2, 2])
    }

    @Test func `linear maps stand side by side and add a residual`() {
        let x = Tensor.random([4, 3], seed: 2)
        let (a, b) = (Tensor.random([2, 3], seed: 3), Tensor.random([5, 3], seed: 4))
        let residual = Tensor.random([4, 7], seed: 5)
        #expect(GradientCheck.failures([x, a, b]) { $0[0].linear($0[1], $0[2]) } == [])
        #expect(GradientCheck.failures([x, a, b, residual]) { $0[0].linear($0[1], $0[2], residual: $0[3]) } == [])
        // The residual is the input itself: its gradient arrives by two ways.
        let square = Tensor.random([3, 3], seed: 6)
        #expect(GradientCheck.failures([x, square]) { $0[0].linear($0[1], residual: $0[0]) * $0[0] } == [])
        let composed = Tensor.concat([x.matmul(a, transposeB: true), x.matmul(b, transposeB: true)], axis: 1) + residual
        #expect(differences(x.linear(a, b, residual: residual).values, composed.values, absolute: 1e-6) == [])
        // [1, 2]·[[3, 4]]ᵀ = 11.
        #expect(Tensor([1, 2], shape: [1, 2]).linear(Tensor([3, 4], shape: [1, 2])).values == [11])
    }

    @Test func `the fused norm and projection is the two of them`() {
        let x = Tensor.random([4, 6], seed: 7, in: 0.5...2)
        let gain = Tensor.random([6], seed: 8)
        let weights = [Tensor.random([3, 6], seed: 9), Tensor.random([2, 6], seed: 10)]
        let fused = x.normLinear(gain: gain, weights: weights, epsilon: 1e-2)
        let composed = x.rmsNorm(weight: gain, epsilon: 1e-2).linear(weights)
        #expect(differences(fused.values, composed.values, absolute: 1e-6) == [])
        #expect(
            GradientCheck.failures([x, gain] + weights) { $0[0].normLinear(gain: $0[1], weights: [$0[2], $0[3]], epsilon: 1e-2) }
                == [])
        #expect(GradientCheck.failures([gain]) { x.normLinear(gain: $0[0], weights: weights, epsilon: 1e-2) } == [])
    }

    @Test func `SwiGLU with its projection is the composition`() {
        let x = Tensor.random([3, 10], seed: 11, in: -2...2)
        let weight = Tensor.random([4, 5], seed: 12)
        let residual = Tensor.random([3, 4], seed: 13)
        let hidden = x.slice(0..<5, axis: 1).silu() * x.slice(5..<10, axis: 1)
        #expect(
            differences(
                x.swiGLULinear(weight, residual: residual).values, (hidden.linear(weight) + residual).values, absolute: 1e-6)
                == [])
        #expect(GradientCheck.failures([x, weight, residual]) { $0[0].swiGLULinear($0[1], residual: $0[2]) } == [])
        #expect(GradientCheck.failures([x, weight]) { $0[0].swiGLULinear($0[1]) } == [])
    }

    @Test func `a gradient takes its input's place only where nobody else refers to it`() {
        let x = Tensor.variable(Tensor.random([4, 16], seed: 20))
        let weight = Tensor.random([3, 8], seed: 21)
        let kernel = AttentionKernel(batch: 1, seq: 4, heads: 2, kvHeads: 1, headDim: 4)
        for op in [{ $0.swiGLULinear(weight) }, { $0.causalAttention(kernel) }] as [(Tensor) -> Tensor] {
            let alone = op(x * 2).sum().gradients()[x]?.values
            let kept = x * 2
            let before = kept.values
            #expect(op(kept).sum().gradients()[x]?.values == alone)
            #expect(kept.values == before)
            // Both ops read the same rows, whichever is differentiated first.
            let shared = x * 2
            let both = (op(shared).sum() + (shared * shared).sum()).gradients()[x]?.values
            let square = ((x * 2) * (x * 2)).sum().gradients()[x]?.values
            #expect(differences(both!, zip(alone!, square!).map(+), absolute: 1e-5) == [])
        }
    }

    @Test func `cross-entropy fused with the projection is the composition`() {
        let x = Tensor.random([5, 4], seed: 14)
        let weight = Tensor.random([7, 4], seed: 15)
        let targets: [Int32] = [0, 6, -100, 3, 3]
        #expect(abs(x.linearCrossEntropy(weight, targets: targets).scalar - x.linear(weight).crossEntropy(targets).scalar) < 1e-6)
        #expect(GradientCheck.failures([x, weight]) { $0[0].linearCrossEntropy($0[1], targets: targets) } == [])
        #expect(
            GradientCheck.failures([x, weight]) { $0[0].linearCrossEntropy($0[1], targets: targets, normalizer: 9) * 2 } == [])
        #expect(GradientCheck.failures([weight]) { x.linearCrossEntropy($0[0], targets: targets) } == [])
        #expect(GradientCheck.failures([x]) { $0[0].linearCrossEntropy(weight, targets: targets) * 2 } == [])
        #expect(x.linearCrossEntropy(weight, targets: [Int32](repeating: -1, count: 5)).scalar == 0)
        let each = LinearCrossEntropy.losses(x, weight: weight, targets: targets)
        #expect(abs(each.reduce(0, +) / 4 - x.linearCrossEntropy(weight, targets: targets).scalar) < 1e-6)
    }

    /// The distillation loss written out with general ops.
    private func distillation(
        _ logits: Tensor, _ teacher: Tensor, _ targets: [Int32], share: Float, temperature: Float, normalizer: Int
    ) -> Tensor {
        let p = (teacher * (1 / temperature)).softmax()
        let terms = p * ((teacher * (1 / temperature)).logSoftmax() - (logits * (1 / temperature)).logSoftmax())
        let marks = Tensor(targets.map { $0 < 0 ? 0 : 1 }, shape: [targets.count, 1])
        let divergence = (terms * marks).sum() * (temperature * temperature / Float(normalizer))
        let likelihood = logits.crossEntropy(targets) * (Float(targets.count { $0 >= 0 }) / Float(normalizer))
        return likelihood * (1 - share) + divergence * share
    }

    @Test(arguments: [(0, 1), (0.3, 1), (0.3, 2.5), (1, 1), (1, 0.5)] as [(Float, Float)])
    func `distillation fused with both projections is the composition`(share: Float, temperature: Float) {
        // The teacher has a width of its own.
        let (x, weight) = (Tensor.random([5, 4], seed: 14), Tensor.random([7, 4], seed: 15))
        let (rows, head) = (Tensor.random([5, 3], seed: 22, in: -2...2), Tensor.random([7, 3], seed: 23))
        let targets: [Int32] = [0, 6, -100, 3, 3]
        for (normalizer, precision) in [(4, .fp32), (9, .fp32), (4, .bf16)] as [(Int, ComputePrecision)] {
            func fused(_ x: Tensor, _ weight: Tensor) -> (objective: Tensor, nll: Double) {
                x.linearDistillation(
                    weight, targets: targets, teacher: (rows, head), share: share, temperature: temperature,
                    normalizer: normalizer, precision: precision)
            }
            func composed(_ x: Tensor, _ weight: Tensor) -> Tensor {
                distillation(
                    x.linear(weight, precision: precision), rows.linear(head, precision: precision), targets, share: share,
                    temperature: temperature, normalizer: normalizer)
            }
            let (objective, nll) = fused(x, weight)
            #expect(abs(objective.scalar - composed(x, weight).scalar) < 1e-5)
            let text = x.linearCrossEntropy(weight, targets: targets, normalizer: normalizer, precision: precision)
            #expect(abs(nll - Double(text.scalar)) < 1e-6)
            if precision == .fp32 {
                #expect(GradientCheck.failures([x, weight]) { fused($0[0], $0[1]).objective * 2 } == [])
                #expect(GradientCheck.failures([weight]) { fused(x, $0[0]).objective } == [])
                #expect(GradientCheck.failures([x]) { fused($0[0], weight).objective * 2 } == [])
            }
            let variables = [x, weight].map { Tensor.variable($0) }
            let found = fused(variables[0], variables[1]).objective.gradients()
            let expected = composed(variables[0], variables[1]).gradients()
            for variable in variables {
                // Sums of a few products of numbers below 10 in another order; in bf16 a factor may be rounded the other way.
                let tolerance = precision == .fp32 ? 2e-6 : 4e-3
                let (gradient, reference) = (found[variable]?.values ?? [], expected[variable]?.values ?? [])
                #expect(differences(gradient, reference, absolute: tolerance) == [])
            }
        }
    }

    @Test func `distillation by hand, from itself, and of nothing`() {
        // Teacher (½, ½), model (¾, ¼): ½·ln(½/¾) + ½·ln(½/¼) = ½·ln(4/3). Gradient of the logits: q − p = (¼, −¼).
        let identity = Tensor([1, 0, 0, 1], shape: [2, 2])
        let x = Tensor.variable(Tensor([Float(log(3.0)), 0], shape: [1, 2]))
        let even = (rows: Tensor([1, 1], shape: [1, 2]), weight: identity)
        let (objective, nll) = x.linearDistillation(identity, targets: [0], teacher: even, share: 1)
        #expect(abs(Double(objective.scalar) - 0.5 * log(4.0 / 3)) < 1e-6 && abs(nll - log(4.0 / 3)) < 1e-6)
        #expect(differences(objective.gradients()[x]?.values ?? [], [0.25, -0.25], absolute: 1e-6) == [])
        let own = (rows: x.detached, weight: identity)
        #expect(x.linearDistillation(identity, targets: [0], teacher: own, share: 1, temperature: 3).objective.scalar == 0)
        let nothing = x.linearDistillation(identity, targets: [-1], teacher: even, share: 0.5)
        #expect(nothing.objective.scalar == 0 && nothing.nll == 0)
        #expect(nothing.objective.gradients()[x]?.values == [0, 0])
    }

    @Test func `distillation holds the logits of one chunk, however many rows there are`() async throws {
        // In a process of its own, where no other test allocates.
        let result = try await #require(processExitsWith: .success, observing: [\.standardErrorContent]) {
            // A chunk is 256 rows, 16 MiB of each model's logits.
            let (classes, chunk) = (1 << 14, 256)
            let (weight, head) = (Tensor.random([classes, 4], seed: 1), Tensor.random([classes, 2], seed: 2))
            func peak(rows: Int) -> Int {
                let x = Tensor.variable(Tensor.random([rows, 4], seed: 3))
                let teacher = (rows: Tensor.random([rows, 2], seed: 4), weight: head)
                StoragePool.shared.resetPeak()
                let before = StoragePool.shared.statistics.bytesInUse
                let loss = x.linearDistillation(weight, targets: (0..<rows).map { Int32($0) }, teacher: teacher, share: 0.5)
                precondition(loss.objective.scalar.isFinite && loss.objective.gradients()[x] != nil)
                return StoragePool.shared.statistics.peakBytesInUse - before
            }
            let (one, four) = (peak(rows: chunk), peak(rows: 4 * chunk))
            guard one < 2 * chunk * classes * 4 || four > one + (2 << 20) else { return }
            FileHandle.standardError.write(Data("\(one) bytes for a chunk, \(four) for four".utf8))
        }
        #expect(String(decoding: result.standardErrorContent, as: UTF8.self) == "")
    }

    @Test(arguments: [(4, 4), (4, 2), (4, 1)])
    func `causal attention is its composition of general ops, masked or not`(heads: Int, kvHeads: Int) {
        let (batch, seq, d) = (2, 9, 6)
        let table = RotaryTable(positions: seq, headDim: d, theta: 100)
        let width = (heads + 2 * kvHeads) * d
        let values = Tensor.random([batch * seq, width], seed: 16, in: -2...2)
        let starts: [Int32] = [0, 0, 0, 3, 3, 3, 3, 7, 7] + [0, 0, 0, 0, 0, 5, 5, 5, 5]
        let positions = (0..<Int32(seq)).map { $0 }
        for keyStarts in [nil, starts] {
            let mask = (0..<batch * seq * seq).map { index in
                let (row, key) = (index / seq, index % seq)
                return key <= row % seq && key >= Int(keyStarts?[row] ?? 0)
            }
            let kernel = AttentionKernel(
                batch: batch, seq: seq, heads: heads, kvHeads: kvHeads, headDim: d, rotary: table, keyStarts: keyStarts)
            func composed(_ qkv: Tensor) -> Tensor {
                let rows = qkv.reshaped(batch, seq, heads + 2 * kvHeads, d)
                // Query head h reads KV head ⌊h·kvHeads/heads⌋: a group axis that keys and values broadcast along.
                let q = rows.slice(0..<heads, axis: 2).rotary(table, positions: positions)
                    .permuted(0, 2, 1, 3).reshaped(batch, kvHeads, heads / kvHeads, seq, d)
                let k = rows.slice(heads..<heads + kvHeads, axis: 2).rotary(table, positions: positions)
                    .permuted(0, 2, 1, 3).reshaped(batch, kvHeads, 1, seq, d)
                let v = rows.slice(heads + kvHeads..<heads + 2 * kvHeads, axis: 2)
                    .permuted(0, 2, 1, 3).reshaped(batch, kvHeads, 1, seq, d)
                let scores = q.matmul(k, transposeB: true) / Float(d).squareRoot()
                let masked = Tensor.where(mask, shape: [batch, 1, 1, seq, seq], scores, Tensor(-.infinity))
                return masked.softmax().matmul(v).reshaped(batch, heads, seq, d).permuted(0, 2, 1, 3).reshaped(
                    batch * seq, heads * d)
            }
            let upstream = Tensor.random([batch * seq, heads * d], seed: 17)
            let (x, y) = (Tensor.variable(values), Tensor.variable(values))
            let (fused, direct) = (x.causalAttention(kernel), composed(y))
            #expect(differences(fused.values, direct.values, absolute: 2e-6) == [])
            let found = (fused * upstream).sum().gradients()[x]?.values ?? []
            let expected = (direct * upstream).sum().gradients()[y]?.values ?? []
            #expect(differences(found, expected, absolute: 5e-6) == [])
        }
    }

    @Test func `causal attention's gradient agrees with differences`() {
        let kernel = AttentionKernel(
            batch: 1, seq: 4, heads: 2, kvHeads: 1, headDim: 4, rotary: RotaryTable(positions: 4, headDim: 4))
        #expect(GradientCheck.failures([Tensor.random([4, 16], seed: 18)]) { $0[0].causalAttention(kernel) } == [])
    }

    @Test func `attention to keys in two places is attention to all of them, with its gradient`() {
        let (seq, heads, kvHeads, d) = (7, 4, 2, 4)
        let width = (heads + 2 * kvHeads) * d
        var kernel = AttentionKernel(
            batch: 1, seq: seq, heads: heads, kvHeads: kvHeads, headDim: d, rotary: RotaryTable(positions: seq, headDim: d))
        let x = Tensor.random([seq, width], seed: 23)
        // Key 1 of the first head and key 3 of the second are evicted behind row 4.
        kernel.rowEnds = [7, 5, 7, 7, 7, 7, 7] + [7, 7, 7, 5, 7, 7, 7]
        let whole = x.causalAttention(kernel)
        // Rows see keys of full blocks of 3 in the first part, their own block's in the second.
        let sealing: [Int32] = [3, 3, 3, 6, 6, 6, 9]
        var (sealed, open) = (kernel, kernel)
        sealed.rowStarts = sealing + sealing
        open.rowEnds = zip(kernel.rowEnds ?? [], sealing + sealing).map { min($0, $1) }
        func attend(_ inputs: [Tensor]) -> Tensor { .causalAttention([(inputs[0], sealed), (inputs[1], open)]) }
        #expect(differences(attend([x, x]).values, whole.values, absolute: 2e-6) == [])
        // Each part's queries read its own keys.
        let other = Tensor.random([seq, width], seed: 24)
        #expect(GradientCheck.failures([x, other]) { attend($0) } == [])
        #expect(GradientCheck.failures([x]) { $0[0].causalAttention(kernel) } == [])
    }

    @Test func `gradients pass straight through keys and values that a cache stores, which every row then reads`() {
        let (rows, d) = (40, 8)
        let x = Tensor.random([rows, 4 * d], seed: 25)
        for encoding in [KVEncoding.int8, .kivi4, .int4, .bfloat16] {
            let stored = StoredRows(
                encoding, sequences: [0..<rows], rowWidth: 4 * d, keys: 2 * d, values: 3 * d, kvHeads: 1, keyDim: d, valueDim: d,
                rotary: RotaryTable(positions: rows, headDim: d))
            for form in StoredRows.Form.all(of: encoding) {
                let variable = Tensor.variable(x)
                let found = variable.stored(stored, form)
                // Queries stay as they are.
                for row in 0..<rows {
                    let own = row * 4 * d
                    #expect(found.values[own..<own + 2 * d] == x.values[own..<own + 2 * d])
                }
                #expect(found.values != x.values, "\(encoding.name)")
                let upstream = Tensor.random([rows, 4 * d], seed: 26)
                #expect((found * upstream).sum().gradients()[variable]?.values == upstream.values)
            }
        }
    }

    @Test func `results do not depend on the number of threads where sums are cut by shape`() async {
        await #expect(processExitsWith: .success) {
            func run(_ threads: Int) -> [Float] {
                Parallel.setThreads(threads)
                let x = Tensor.variable(Tensor.random([3000, 70], seed: 1))
                let (w, b) = (Tensor.variable(Tensor.random([70], seed: 2)), Tensor.variable(Tensor.random([70], seed: 3)))
                let y =
                    x.layerNorm(weight: w, bias: b, epsilon: 1e-5).rmsNorm(weight: w, epsilon: 1e-5).dropout(rate: 0.5, seed: 4)
                    * b
                let gradients = (y.softmax() + y.transposed().transposed()).mean().gradients()
                // A projection beyond the caches, whose blocks of rows are cut by the threads too.
                let classes = Tensor.random([256, 68], seed: 5).embedding((0..<1 << 16).map { Int32($0 * 31 % 256) })
                let losses = LinearCrossEntropy.losses(
                    Tensor.random([90, 68], seed: 6), weight: classes, targets: (0..<90).map { Int32($0) })
                return [x, w, b].flatMap { gradients[$0]?.values ?? [] } + losses
            }
            let one = run(1)
            precondition(one.count == 3000 * 70 + 140 + 90 && one.allSatisfy { $0.isFinite })
            precondition(run(2) == one && run(5) == one)
        }
    }
}
