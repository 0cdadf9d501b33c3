import Autograd
import Kernels
import TestSupport
import Testing

@Suite(.serialized) struct GraphTests {
    @Test func `a variable used twice gets the sum`() {
        let x = Tensor.variable(Tensor([3, -2], shape: [2]))
        // d(x·x + x + x) = 2x + 2.
        #expect((x * x + x + x).sum().gradients()[x]?.values == [8, -2])
    }

    @Test func `gradients are added to earlier ones, which keep their values`() {
        let x = Tensor.variable(Tensor([1, 2], shape: [2]))
        let other = Tensor.variable(Tensor([5], shape: [1]))
        let first = (x * 3).sum().gradients()
        let kept = first[x]
        let second = (x * x + other).sum().gradients(adding: first)
        #expect(second[x]?.values == [5, 7])
        #expect(second[other]?.values == [2])
        #expect(first[x]?.values == [3, 3])
        #expect(kept?.values == [3, 3])
        #expect(first[other] == nil)
    }

    @Test func `gradients handed over are added to in place`() throws {
        let x = Tensor.variable(Tensor.random([100, 100], seed: 1))
        let y = Tensor.random([100, 100], seed: 2)
        var gradients = (x * y).sum().gradients()
        let storage = try #require(gradients[x]).storage
        let identity = ObjectIdentifier(storage)
        func accumulate(_ gradients: inout Gradients) {
            let before = gradients
            gradients = Gradients()
            gradients = x.matmul(y).sum().gradients(adding: consume before)
        }
        accumulate(&gradients)
        // Referred to from here, it was copied.
        #expect(try #require(gradients[x]).storage !== storage)
        let own = try ObjectIdentifier(#require(gradients[x]).storage)
        accumulate(&gradients)
        #expect(try ObjectIdentifier(#require(gradients[x]).storage) == own)
        #expect(identity != own)
    }

    @Test func `a seed scales the gradients`() {
        let x = Tensor.variable(Tensor([1, 2], shape: [2]))
        #expect((x * x).sum().gradients(seed: 0.5)[x]?.values == [1, 2])
    }

    @Test func `a variable's own gradient is one, a constant has none`() {
        let x = Tensor.variable(Tensor(3))
        #expect(x.gradients()[x]?.scalar == 1)
        #expect(Tensor(3).gradients()[x] == nil)
        let y = Tensor.variable(Tensor(2))
        #expect((x * x).gradients()[y] == nil)
    }

    @Test func `constants make no graph`() {
        let a = Tensor.random([4, 4], seed: 1)
        let all: [Tensor] = [
            a + a, a * 2, a.matmul(a), a.softmax(), a.sum(), a.permuted(1, 0), a.exp(), Tensor.concat([a, a]), a.reshaped(16),
            a.slice(0..<2), Tensor.where(a, a, a), a.dropout(rate: 0.5, seed: 1), a.crossEntropy([0, 1, 2, 3]),
            Tensor.variable(a).detached + a,
        ]
        #expect(all.allSatisfy { !$0.requiresGradient })
        #expect((a + Tensor.variable(a)).requiresGradient)
    }

    @Test func `nothing of constants is kept for a backward pass`() async {
        // In a process of its own, where no other test allocates.
        await #expect(processExitsWith: .success) {
            var x = Tensor.random([1000], seed: 2)
            let before = StoragePool.shared.statistics.bytesInUse
            for _ in 0..<100 { x = (x * 1.01).tanh() }
            precondition(StoragePool.shared.statistics.bytesInUse == before)
        }
    }

    @Test func `the other operand of a product with a constant is given no gradient`() {
        let x = Tensor.variable(Tensor.random([3], seed: 1))
        let gradients = (x * Tensor.random([3], seed: 2)).sum().gradients()
        #expect(gradients[x] != nil)
    }

    @Test func `a graph of 200,000 nodes is differentiated and freed without deep recursion`() {
        let x = Tensor.variable(Tensor(1))
        func chain() -> Tensor {
            var y = x
            for _ in 0..<100_000 { y = (y + x) * Tensor(0.5) }
            return y
        }
        // y ← (y + x)/2 tends to x with slope 1.
        #expect(chain().gradients()[x]?.scalar == 1)
        // Freed without having been differentiated: on this thread's stack and on a small one.
        _ = chain()
        let long = chain()
        #expect(long.scalar == 1)
    }

    @Test func `a graph freed on a task's small stack does not overflow it`() async {
        await Task.detached {
            let x = Tensor.variable(Tensor([1, 2], shape: [2]))
            var y = x
            for _ in 0..<200_000 { y = -y }
            #expect(y.values == [1, 2])
        }.value
    }

    @Test func `a second differentiation of a graph stops the program`() async {
        await #expect(processExitsWith: .failure) {
            let x = Tensor.variable(Tensor(1))
            let y = x * x
            _ = y.gradients()
            _ = y.gradients()
        }
    }

    @Test func `shapes that do not fit stop the program`() async {
        await #expect(processExitsWith: .failure) { _ = Tensor.random([2, 3], seed: 1) + Tensor.random([2], seed: 1) }
        await #expect(processExitsWith: .failure) { _ = Tensor.random([2, 3], seed: 1).matmul(Tensor.random([2, 3], seed: 1)) }
        await #expect(processExitsWith: .failure) { _ = Tensor.random([2, 3], seed: 1).crossEntropy([0, 3]) }
        await #expect(processExitsWith: .failure) { _ = Tensor.random([2, 3], seed: 1).gradients() }
    }

    @Test func `results are the same bit by bit, however often they are computed`() {
        func run() -> [Float] {
            let w = Tensor.variable(Tensor.random([96, 80], seed: 1))
            let g = Tensor.variable(Tensor.random([80], seed: 2))
            let x = Tensor.random([700, 80], seed: 3)
            let y = x.rmsNorm(weight: g, epsilon: 1e-5).matmul(w, transposeB: true).gelu()
            let gradients = (y * y).mean().gradients()
            return (gradients[w]?.values ?? []) + (gradients[g]?.values ?? [])
        }
        let first = run()
        for _ in 0..<5 { #expect(run() == first) }
    }
}
