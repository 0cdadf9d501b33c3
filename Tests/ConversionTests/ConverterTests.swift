import Checkpoints
import Foundation
import Kernels
import Models
import Random
import TestSupport
import Testing

@testable import Conversion

@Suite struct ConverterTests {
    private let config = TinyModel.config(heads: 8, kvHeads: 8, headDim: 4)

    private func convert(
        _ kvHeads: Int, _ method: any HeadMerge, _ config: ModelConfig, _ parameters: Parameters, seed: UInt64 = 0
    ) throws
        -> (ModelConfig, Parameters, ConversionReport)
    {
        try Converter(
            HeadMergeMethod(method, kvHeads: kvHeads),
            calibration: type(of: method).usesActivations ? TestCalibration.random(config) : nil,
            seed: seed
        ).convert(config, parameters)
    }

    private func equal(_ a: Parameters, _ b: Parameters) -> Bool {
        a.names == b.names
            && a.names.allSatisfy { a[$0]?.shape == b[$0]?.shape && a[$0]?.float32().array() == b[$0]?.float32().array() }
    }

    @Test(arguments: ConversionMethods.merges.map(\.name)) func `as many KV heads as before is the identity, bit for bit`(
        name: String
    ) throws {
        let method = try merge(named: name)
        let parameters = TinyModel.parameters(config)
        let (child, converted, report) = try convert(8, method, config, parameters)
        #expect(child.kvHeads.uniform == 8)
        #expect(equal(parameters, converted))
        #expect(
            report.layers.allSatisfy { [$0.key, $0.value].allSatisfy { $0.similarity == 1 && abs($0.normRatio - 1) < 1e-12 } })
    }

    @Test(arguments: ConversionMethods.merges.map(\.name), [1, 2, 4])
    func `every method gives weights of the child's shape and nothing else changes`(
        name: String, kvHeads: Int
    ) throws {
        let method = try merge(named: name)
        let parameters = TinyModel.parameters(config)
        let (child, converted, _) = try convert(kvHeads, method, config, parameters)
        try converted.validate(against: child)
        let folds = method is any PoolingMethod ? ["k_proj", "v_proj"] : ["k_proj", "v_proj", "q_proj", "o_proj"]
        for weight in parameters.names where !folds.contains(where: { weight.contains($0) }) {
            #expect(converted[weight]?.float32().array() == parameters[weight]?.float32().array())
        }
        #expect(child.kvBytesPerToken(.float16) * 8 == config.kvBytesPerToken(.float16) * kvHeads)
    }

    @Test(arguments: ["mean", "first", "medoid"]) func `repeated heads pool back without loss, bit for bit`(name: String) throws {
        let method = try merge(named: name)
        let small = TinyModel.config(heads: 8, kvHeads: 2, headDim: 4)
        let original = TinyModel.parameters(small)
        var repeated = original
        for layer in 0..<small.layers {
            for projection in [WeightName.Module.key, .value] {
                let key = WeightName(projection, layer: layer)
                let rows = try #require(original[key]).float32().array()
                let size = 4 * small.hiddenSize
                var values: [Float] = []
                for head in 0..<8 {
                    let start = head / 4 * size
                    values += rows[start..<start + size]
                }
                repeated[key] = Weight(shape: [32, small.hiddenSize], storage: Storage(copying: values))
            }
        }
        let (child, pooled, _) = try convert(2, method, config, repeated)
        #expect(child == small && equal(pooled, original))
    }

    @Test func `the mean of a group, by hand, and what it does to the norm`() throws {
        let rows = HeadRows(DenseMatrix(rows: 2, columns: 2, values: [1, 0, 0, 1]), headDim: 1)
        var random = SeededGenerator(seed: 0)
        #expect(MeanMethod().merge(rows, generator: &random) == [0.5, 0.5])
        let report = ConversionReport.Projection(
            parent: rows, child: HeadRows(DenseMatrix(rows: 1, columns: 2, values: [0.5, 0.5]), headDim: 1))
        // Orthogonal heads: similarity 0, norm 1/√2 of theirs.
        #expect(report.similarity == 0 && abs(report.normRatio - 0.5.squareRoot()) < 1e-12)
    }

    @Test func `pooling in two steps equals pooling at once`() throws {
        let parameters = TinyModel.parameters(config)
        let (four, fourWeights, _) = try convert(4, MeanMethod(), config, parameters)
        let (two, twice, _) = try convert(2, MeanMethod(), four, fourWeights)
        let (direct, once, _) = try convert(2, MeanMethod(), config, parameters)
        #expect(two == direct)
        for name in once.names {
            // One rounding to Float32 more.
            #expect(
                differences(
                    try #require(twice[name]).float32().array(), try #require(once[name]).float32().array(), absolute: 1e-7
                ).isEmpty)
        }
    }

    @Test func `random draws the same for the same seed alone`() throws {
        let parameters = TinyModel.parameters(config)
        let key = "model.layers.1.self_attn.v_proj.weight"
        func draw(_ seed: UInt64) throws -> [Float]? {
            try convert(2, RandomMethod(), config, parameters, seed: seed).1[key]?.float32().array()
        }
        #expect(try draw(1) == draw(1))
        #expect(try draw(1) != draw(2))
    }

    @Test(arguments: [
        (3, "layer 0: 8 KV heads cannot form 3 equal groups; choose one of 1, 2, 4, 8"),
        (16, "layer 0 has 8 KV heads, conversion cannot make 16 of them; choose one of 1, 2, 4, 8"),
    ])
    func `an impossible number of KV heads is refused`(kvHeads: Int, sentence: String) throws {
        let error = #expect(throws: ConversionError.self) {
            try convert(kvHeads, MeanMethod(), config, TinyModel.parameters(config))
        }
        #expect(error?.description == sentence)
    }

    @Test(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"), arguments: ["stories260K", "tinystories-656k"])
    func `the shared MHA checkpoints pool back to their originals, bit for bit`(name: String) throws {
        let original = try HuggingFaceFolder.load(SharedData.path("models/\(name)"))
        let expanded = try HuggingFaceFolder.load(SharedData.path("models/\(name)-mha8"))
        let (pooled, _) = try expanded.converted(by: Converter(HeadMergeMethod(MeanMethod(), kvHeads: 4)))
        #expect(pooled.config.kvHeads == original.config.kvHeads)
        for name in original.parameters.names {
            #expect(pooled.parameters[name]?.float32().array() == original.parameters[name]?.float32().array(), "\(name)")
        }
    }
}
