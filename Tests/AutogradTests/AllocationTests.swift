import Autograd
import Kernels
import TestSupport
import Testing

@Suite struct AllocationTests {
    @Test func `a steady loop asks the system for no memory`() async {
        // In a process of its own, where no other test allocates.
        await #expect(processExitsWith: .success) {
            var w = Tensor.random([64, 48], seed: 1)
            let g = Tensor.random([48], seed: 2)
            let x = Tensor.random([300, 48], seed: 3)
            func step() {
                let (variable, gain) = (Tensor.variable(w), Tensor.variable(g))
                let hidden = x.rmsNorm(weight: gain, epsilon: 1e-5).matmul(variable, transposeB: true).silu().dropout(
                    rate: 0.1, seed: 1)
                let parts = Tensor.concat([hidden.slice(0..<32, axis: 1), hidden.slice(32..<64, axis: 1)], axis: 0).transposed()
                    .softmax()
                let loss = (parts * parts).mean() + (hidden + gain.sum()).maximum(1).mean()
                let gradients = loss.gradients()
                if let gradient = gradients[variable] { w = w - gradient * 0.01 }
            }
            for _ in 0..<3 { step() }
            let before = StoragePool.shared.statistics.systemAllocations
            for _ in 0..<20 { step() }
            precondition(StoragePool.shared.statistics.systemAllocations == before)
        }
    }
}
