import Autograd
import Kernels
import TestSupport
import Testing

@testable import Models
import Threads

@Suite struct ComputeOptionsTests {
    /// Loss and gradients of every weight, flattened in order, of a small model with more rows than a block has.
    private func pass(_ compute: ComputeOptions, dropout: Float = 0) throws -> (loss: Float, gradients: [Float]) {
        let config = TinyModel.config(maxSequence: 48)
        let parameters = TinyModel.parameters(config)
        let variables = parameters.names.map { name in
            let weight = parameters[name]!
            return (name, Tensor.variable(Tensor(shape: Shape(weight.shape), storage: weight.float32())))
        }
        var model = try DecoderLM(config: config, tensors: Dictionary(uniqueKeysWithValues: variables))
        model.compute = compute
        let tokens = (0..<5 * 41).map { Int32($0 * 17 % 61) }
        let input = ModelInput(
            batch: 5, seq: 41, tokens: tokens, dropout: dropout > 0 ? .init(rate: dropout, seed: 7) : nil)
        let loss = model.loss(input, targets: tokens.map { ($0 + 5) % 61 })
        let value = loss.scalar
        let gradients = loss.gradients()
        return (value, variables.flatMap { gradients[$0.1]?.values ?? [] })
    }

    @Test(arguments: ComputePrecision.allCases, [Float(0), 0.1])
    func `recomputed blocks change neither the loss nor a gradient`(precision: ComputePrecision, dropout: Float) throws {
        let kept = try pass(ComputeOptions(precision: precision), dropout: dropout)
        let recomputed = try pass(ComputeOptions(precision: precision, recompute: .block), dropout: dropout)
        #expect(recomputed.loss == kept.loss)
        #expect(recomputed.gradients == kept.gradients)
    }

    @Test func `BFloat16 products move loss and gradients by their rounding alone`() throws {
        let exact = try pass(ComputeOptions())
        let rounded = try pass(ComputeOptions(precision: .bf16))
        #expect(rounded.loss != exact.loss)
        #expect(abs(rounded.loss - exact.loss) < 0.005 * exact.loss)
        let norm = exact.gradients.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        let distance = zip(exact.gradients, rounded.gradients).reduce(0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
            .squareRoot()
        // 8 bits of mantissa, a few products deep.
        #expect(distance < 0.03 * norm)
    }

    @Test(arguments: ComputePrecision.allCases)
    func `the number of threads changes no bit`(precision: ComputePrecision) async throws {
        switch precision {
        case .fp32: await #expect(processExitsWith: .success) { try ComputeOptionsTests().compareThreads(.fp32) }
        case .bf16: await #expect(processExitsWith: .success) { try ComputeOptionsTests().compareThreads(.bf16) }
        }
    }

    private func compareThreads(_ precision: ComputePrecision) throws {
        var results: [[Float]] = []
        for threads in [1, 2, 3] {
            Parallel.setThreads(threads)
            results.append(try pass(ComputeOptions(precision: precision)).gradients)
        }
        precondition(results[0] == results[1] && results[1] == results[2])
    }
}
