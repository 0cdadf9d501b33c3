import Kernels
import Models
import TestSupport
import Testing

@testable import Conversion

/// Models whose queries and keys go through norms or have biases.
@Suite struct NormAndBiasTests {
    private func normed(equalGains: Bool) -> (ModelConfig, Parameters) {
        var config = TinyModel.config(heads: 8, kvHeads: 8, headDim: 6)
        config.hasQueryKeyNorm = true
        var parameters = TinyModel.parameters(config)
        for layer in 0..<config.layers {
            for norm in [WeightName.Module.queryNorm, .keyNorm] {
                let gains: [Float] = equalGains ? [0.5, 2, 1, 0.5, 2, 1] : [0.5, 2, 1, 0.7, 2, 1]
                parameters[WeightName(norm, layer: layer)] = Weight(shape: [6], storage: Storage(copying: gains))
            }
        }
        return (config, parameters)
    }

    @Test(arguments: [true, false]) func `under QK-norm only planes of equal gains are turned, which leaves the logits alone`(
        equalGains: Bool
    ) throws {
        let (config, parameters) = normed(equalGains: equalGains)
        let layer = try AttentionWeights(config, parameters, layer: 0)
        #expect(layer.turnable == [equalGains, true, true])
        let converter = Converter(HeadMergeMethod(AlignedMethod(), kvHeads: 2), calibration: try TestCalibration.random(config))
        let (_, weights, report) = try converter.convert(config, parameters)
        #expect(report.logitChange < 1e-4)
        #expect(report.layers.map(\.fixedPlanes) == (equalGains ? [0, 0] : [1, 1]))
        #expect(report.text().contains("in 2 of 6 RoPE planes") == !equalGains)
        let name = WeightName(.query, layer: 0)
        let (before, after) = try (#require(parameters[name]).float32().array(), #require(weights[name]).float32().array())
        let rows = (0..<6).filter { before[$0 * 32..<$0 * 32 + 32] != after[$0 * 32..<$0 * 32 + 32] }
        #expect(equalGains || !rows.contains(0) && !rows.contains(3))
    }

    @Test func `under QK-norm svd keeps the queries' sizes and merges keys as aligned does`() throws {
        let (config, parameters) = normed(equalGains: false)
        let calibration = try TestCalibration.random(config)
        let aligned = try Converter(HeadMergeMethod(AlignedMethod(), kvHeads: 2), calibration: calibration).convert(
            config, parameters
        ).1
        let svd = try Converter(HeadMergeMethod(SVDMethod(), kvHeads: 2), calibration: calibration).convert(config, parameters).1
        for projection in [WeightName.Module.query, .key] {
            let name = WeightName(projection, layer: 1)
            #expect(try #require(aligned[name]).float32().array() == #require(svd[name]).float32().array())
        }
    }

    /// `learned` starts from `svd`, and where nothing is lost its steps only stir.
    @Test(arguments: ConversionMethods.merges.map(\.name).filter { $0 != "learned" })
    func `every method merges biases with the rows they belong to`(method: String)
        throws
    {
        var config = TinyModel.config(heads: 8, kvHeads: 8, headDim: 6)
        config.hasQueryKeyValueBias = true
        var parameters = TinyModel.parameters(config)
        // Heads that are all alike, biases too.
        for layer in 0..<config.layers {
            for projection in [WeightName.Module.key, .value] {
                let name = WeightName(projection, layer: layer)
                let rows = try #require(parameters[name]).float32().array()
                let size = rows.count / 8
                parameters[name] = Weight(
                    shape: [48, 32], storage: Storage(copying: (0..<8).flatMap { _ in rows[..<size] }))
                let bias = (0..<48).map { Float($0 % 6) - 2 }
                parameters[name.bias] = Weight(
                    shape: [48], storage: Storage(copying: bias))
            }
        }
        let calibration = try TestCalibration.random(config)
        let converter = Converter(HeadMergeMethod(try merge(named: method), kvHeads: 2), calibration: calibration)
        let (child, weights, _) = try converter.convert(config, parameters)
        try weights.validate(against: child)
        let distance = try logitDistance((config, parameters), (child, weights))
        #expect(method == "random" ? distance > 0.05 : distance < 5e-4)
    }

    @Test func `a byte budget is kept by models with biases too`() throws {
        var config = TinyModel.config(heads: 8, kvHeads: 8, headDim: 6)
        config.hasQueryKeyValueBias = true
        let chosen = try HeadBudget.kvHeads(
            config, TinyModel.parameters(config), bytesPerToken: 200, encoding: .float16,
            calibration: try TestCalibration.random(config))
        #expect((0..<config.layers).reduce(0) { $0 + 2 * 2 * 6 * chosen[$1] } <= 200)
    }
}
