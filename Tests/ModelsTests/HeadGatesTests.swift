import Autograd
import TestSupport
import Testing

@testable import Models

@Suite struct HeadGatesTests {
    private static let seq = 13
    private let sinks = 2, recent = 4

    private func hidden(_ model: DecoderLM, _ gates: [Tensor]?) -> Tensor {
        let tokens = (0..<2 * Self.seq).map { Int32($0 * 17 % 61) }
        var input = ModelInput(batch: 2, seq: Self.seq, tokens: tokens)
        input.gates = gates.map { HeadGates(model.config, $0, sinks: sinks, recent: recent) }
        return model.states(input, keepsBlocks: false).final
    }

    private func gates(_ config: ModelConfig, _ value: (Int) -> Float) -> [Tensor] {
        var number = 0
        return HeadGates.layers(of: config).map { _, kvHeads in
            Tensor(
                (0..<kvHeads).map { _ in
                    number += 1
                    return value(number)
                }, shape: [kvHeads])
        }
    }

    @Test(arguments: TinyDesigns.allCases.filter { $0 != .windowed })
    func `open gates are whole attention, and gradients of gates are central differences`(design: TinyDesigns) throws {
        for recompute in [Recompute.none, .block] {
            let config = try design.config
            // Weights of which differences of fourth order see all.
            var model = try DecoderLM(config: config, parameters: TinyModel.parameters(config, deviation: 0.1))
            model.compute.recompute = recompute
            #expect(differences(hidden(model, gates(config) { _ in 1 }).values, hidden(model, nil).values, absolute: 1e-5) == [])
            let mixed = gates(config) { Float($0 * 3 % 7) / 8 }
            #expect(GradientCheck.failures(mixed) { hidden(model, $0) } == [])
        }
    }

    @Test func `closed gates are a sliding window with sinks`() throws {
        let config = try TinyDesigns.gqa.config
        var windowed = config
        try HybridAttention(window: recent, fullEvery: 0, sinks: sinks).configure(&windowed)
        let parameters = TinyModel.parameters(config)
        let found = hidden(try DecoderLM(config: config, parameters: parameters), gates(config) { _ in 0 })
        let expected = hidden(try DecoderLM(config: windowed, parameters: parameters), nil)
        #expect(differences(found.values, expected.values, absolute: 1e-5) == [])
    }
}
