import Foundation
import Kernels
import Models
import TestSupport
import Testing

@testable import Conversion

@Suite struct HeadBudgetTests {
    private let config = TinyModel.config(layers: 3, heads: 4, kvHeads: 4, headDim: 6)

    @Test func `the layer whose heads are copies gives them up first`() throws {
        var parameters = TinyModel.parameters(config)
        var layer = try AttentionWeights(config, parameters, layer: 1)
        for head in 1..<4 {
            layer.key.replace(head * 6, 0, with: layer.key.rows(layer.range(of: 0)))
            layer.value.replace(head * 6, 0, with: layer.value.rows(layer.range(of: 0)))
        }
        parameters = try parameters.replacing(layer, at: 1, of: config)
        let full = config.kvBytesPerToken(.float16)
        let head = full / 12
        let calibration = try TestCalibration.random(config)
        func heads(_ bytes: Int) throws -> [Int] {
            let result = try HeadBudget.kvHeads(
                config, parameters, bytesPerToken: bytes, encoding: .float16, calibration: calibration)
            return (0..<3).map { result[$0] }
        }
        #expect(try heads(full) == [4, 4, 4])
        #expect(try heads(full - 1) == [4, 1, 4])
        #expect(try heads(9 * head) == [4, 1, 4])
        let tight = try heads(6 * head)
        #expect(tight[1] == 1 && tight.reduce(0, +) <= 6)
        #expect(try heads(3 * head) == [1, 1, 1])
        let error = #expect(throws: ConversionError.self) { try heads(3 * head - 1) }
        #expect(error == .budgetTooSmall(bytes: 3 * head - 1, least: 3 * head))
    }

    @Test func `KV heads that differ between layers convert, and as many as before leave a layer alone`() throws {
        let parameters = TinyModel.parameters(config)
        var method = HeadMergeMethod(SVDMethod())
        method.kvHeads = .each([4, 2, 1])
        let (child, weights, report) = try Converter(method).convert(config, parameters)
        try weights.validate(against: child)
        #expect(report.layers.map(\.to) == [4, 2, 1])
        let name = "model.layers.0.self_attn.k_proj.weight"
        #expect(weights[name]?.float32().array() == parameters[name]?.float32().array())
        method.kvHeads = .each([4, 2])
        #expect(throws: ConversionError.layerCount(2, layers: 3)) { try Converter(method).convert(config, parameters) }
    }
}

@Suite struct DiagnosisTests {
    private let config = TinyModel.config(layers: 2, heads: 4, kvHeads: 4, headDim: 6)

    @Test func `keys of zero attend to all alike, and copies of a head are alike before any turn`() throws {
        var parameters = TinyModel.parameters(config)
        var layer = try AttentionWeights(config, parameters, layer: 0)
        layer.key = DenseMatrix(rows: layer.key.rows, columns: layer.key.columns)
        for head in 1..<4 { layer.value.replace(head * 6, 0, with: layer.value.rows(layer.range(of: 0))) }
        parameters = try parameters.replacing(layer, at: 0, of: config)
        let calibration = try TestCalibration.random(config)
        let (child, weights, _) = try Converter(HeadMergeMethod(MeanMethod(), kvHeads: 2)).convert(config, parameters)
        let diagnosis = try Diagnosis(
            parent: (config, parameters), child: (child, weights), method: "mean", calibration: calibration)
        let seq = calibration.batches[0].seq
        let uniform = (1...seq).reduce(0.0) { $0 + log(Double($1)) } / Double(seq)
        #expect(abs(diagnosis.layers[0].parentEntropy - uniform) < 1e-4)
        #expect(diagnosis.layers[1].parentEntropy < uniform - 0.05)
        #expect(abs(diagnosis.layers[0].valueSimilarity.raw - 1) < 1e-6)
        #expect(diagnosis.layers[1].keySimilarity.aligned > diagnosis.layers[1].keySimilarity.raw + 0.1)
        #expect(abs(diagnosis.layers[0].valueNormOfMean - 1) < 1e-6)
        #expect(diagnosis.childCrossEntropy != diagnosis.parentCrossEntropy && diagnosis.tokens > 0)
        #expect(diagnosis.text.split(separator: "\n").count == 4)
    }

}
