import Autograd
import Foundation
import Kernels
import Models
import Random
import TestSupport
import Testing

@testable import Conversion

/// Methods that fold what they change into queries and output projection.
@Suite struct FoldedMethodTests {
    private let config = TinyModel.config(heads: 8, kvHeads: 8, headDim: 6)

    /// Attentions whose keys are aligned in different ways.
    enum Positions: CaseIterable, Sendable {
        case rotary, partlyRotary, learned

        func config(hasBias: Bool) -> ModelConfig {
            var config = TinyModel.config(heads: 8, kvHeads: 8, headDim: 6)
            if hasBias { (config.hasQueryKeyValueBias, config.hasOutputBias) = (true, true) }
            switch self {
            case .rotary: break
            case .partlyRotary: config.rotaryWidth = 4
            case .learned: (config.rotaryWidth, config.hasLearnedPositions) = (0, true)
            }
            return config
        }
    }

    /// A model whose layers' KV heads are one head each four, turned plane by plane, or mixed where there are no planes.
    private func disguised(
        orthogonal: Bool, _ positions: Positions = .rotary, hasBias: Bool = false
    ) throws -> (ModelConfig, Parameters) {
        let config = positions.config(hasBias: hasBias)
        let rotary = config.rotaryDim(0)
        var parameters = TinyModel.parameters(config)
        var generator = SeededGenerator(seed: 4)
        func mixed(_ rows: DenseMatrix) throws -> DenseMatrix {
            let mix = DenseMatrix.random(rows.rows, rows.rows, using: &generator)
            let svd = try mix.svd()
            return (orthogonal ? svd.u * svd.vt : mix) * rows
        }
        for index in 0..<config.layers {
            var layer = try AttentionWeights(config, parameters, layer: index)
            if hasBias {
                let last = layer.key.columns - 1
                for row in 0..<layer.key.rows {
                    layer.key[row, last] = Double.random(in: -1..<1, using: &generator)
                    layer.value[row, last] = Double.random(in: -1..<1, using: &generator)
                    layer.query[row, last] = Double.random(in: -1..<1, using: &generator)
                }
            }
            for group in 0..<2 {
                let key = layer.key.rows(layer.range(of: group * 4))
                let value = layer.value.rows(layer.range(of: group * 4))
                for head in group * 4 + 1..<group * 4 + 4 {
                    layer.key.replace(head * 6, 0, with: key)
                    for plane in 0..<rotary / 2 {
                        let angle = Double.random(in: 0..<6.28, using: &generator)
                        let size = orthogonal ? 1 : Double.random(in: 0.5..<2, using: &generator)
                        let (c, s) = (cos(angle), sin(angle))
                        HeadPlanes.multiply(
                            &layer.key, start: head * 6, rotaryDim: rotary, plane: plane, by: .init(re: size * c, im: size * s))
                    }
                    if rotary < 6 { layer.key.replace(head * 6 + rotary, 0, with: try mixed(key.rows(rotary..<6))) }
                    layer.value.replace(head * 6, 0, with: try mixed(value))
                }
            }
            parameters = try parameters.replacing(layer, at: index, of: config)
        }
        return (config, parameters)
    }

    @Test(arguments: Positions.allCases, [false, true])
    func `svd and aligned are exact with learned and with partly rotary positions, and with biases`(
        positions: Positions, hasBias: Bool
    ) throws {
        for method: any HeadMerge in [SVDMethod(), AlignedMethod()] {
            let parent = try disguised(orthogonal: method is AlignedMethod, positions, hasBias: hasBias)
            for calibration in [nil, try TestCalibration.random(config)] {
                let converter = Converter(HeadMergeMethod(method, kvHeads: 2), calibration: calibration)
                let (child, weights, report) = try converter.convert(parent.0, parent.1)
                #expect(try logitDistance(parent, (child, weights)) < 5e-4, "\(method)")
                #expect(report.logitChange < 1e-4)
            }
            let (mean, pooled, _) = try Converter(HeadMergeMethod(MeanMethod(), kvHeads: 2)).convert(parent.0, parent.1)
            #expect(try logitDistance(parent, (mean, pooled)) > 0.05)
        }
    }

    @Test(arguments: [false, true]) func `svd is exact for keys that are multiples per plane and values of one row space`(
        calibrated: Bool
    ) throws {
        let parent = try disguised(orthogonal: false)
        let converter = Converter(
            HeadMergeMethod(SVDMethod(), kvHeads: 2), calibration: calibrated ? try TestCalibration.random(config) : nil)
        let (child, weights, _) = try converter.convert(parent.0, parent.1)
        #expect(try logitDistance(parent, (child, weights)) < 2e-4)
        // Pooling them is not.
        let (mean, pooled, _) = try Converter(HeadMergeMethod(MeanMethod(), kvHeads: 2)).convert(parent.0, parent.1)
        #expect(try logitDistance(parent, (mean, pooled)) > 0.05)
    }

    @Test func `aligned is exact for heads that are turned copies of each other`() throws {
        let parent = try disguised(orthogonal: true)
        let (child, weights, report) = try Converter(HeadMergeMethod(AlignedMethod(), kvHeads: 2)).convert(parent.0, parent.1)
        #expect(try logitDistance(parent, (child, weights)) < 2e-4)
        #expect(report.logitChange < 1e-4)
    }

    @Test func `aligning leaves the logits as they were, also where several queries share a KV head`() throws {
        let grouped = TinyModel.config(heads: 8, kvHeads: 4, headDim: 6)
        let parameters = TinyModel.parameters(grouped)
        var rewritten = parameters
        for index in 0..<grouped.layers {
            let layer = try AttentionWeights(grouped, parameters, layer: index)
            let context = LayerContext(layer: index, moment: nil, seed: 0)
            let result = try #require(try AlignedMethod().convert(layer, to: 1, context).rewritten)
            #expect(result != layer)
            rewritten = try rewritten.replacing(result, at: index, of: grouped)
        }
        #expect(try logitDistance((grouped, parameters), (grouped, rewritten)) < 1e-4)
    }

    @Test(arguments: [HeadGrouping.similarity, .activation]) func `grouping finds copies that were shuffled apart`(
        grouping: HeadGrouping
    ) throws {
        let (config, parameters) = try disguised(orthogonal: true)
        var shuffled = parameters
        for index in 0..<config.layers {
            let layer = try AttentionWeights(config, parameters, layer: index)
            shuffled = try shuffled.replacing(layer.reordered([0, 4, 1, 5, 2, 6, 3, 7]), at: index, of: config)
        }
        #expect(try logitDistance((config, parameters), (config, shuffled)) < 1e-4)
        var converter = Converter(
            HeadMergeMethod(SVDMethod(), kvHeads: 2, grouping: grouping), calibration: try TestCalibration.random(config))
        let found = try converter.convert(config, shuffled)
        #expect(try logitDistance((config, parameters), (found.0, found.1)) < 2e-4)
        converter.method = HeadMergeMethod(SVDMethod(), kvHeads: 2)
        let missed = try converter.convert(config, shuffled)
        #expect(try logitDistance((config, parameters), (missed.0, missed.1)) > 0.02)
    }

    @Test func `refinement brings the logits nearer to the parent's than where it starts, the same each time`() throws {
        let parameters = TinyModel.parameters(config)
        let calibration = try TestCalibration.random(config)
        func convert(_ method: any HeadMerge) throws -> (ModelConfig, Parameters) {
            let result = try Converter(HeadMergeMethod(method, kvHeads: 2), calibration: calibration).convert(config, parameters)
            return (result.0, result.1)
        }
        let (start, refined, again) = (
            try convert(SVDMethod()), try convert(LearnedMethod()), try convert(LearnedMethod())
        )
        func error(_ child: (ModelConfig, Parameters)) throws -> Double {
            let input = calibration.batches[0]
            let x = try DecoderLM(config: config, parameters: parameters).logits(input).values
            let y = try DecoderLM(config: child.0, parameters: child.1).logits(input).values
            return zip(x, y).reduce(0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
        }
        #expect(try error(refined) < 0.6 * error(start))
        for name in refined.1.names { #expect(refined.1[name]?.float32().array() == again.1[name]?.float32().array()) }
    }

    @Test func `a refinement that was stopped goes on behind its last step to the same weights`() throws {
        let config = TinyModel.config(layers: 3, kvHeads: 4)
        let parameters = TinyModel.parameters(config)
        let calibration = try TestCalibration.random(config)
        let start = try Converter(HeadMergeMethod(SVDMethod(), kvHeads: 2), calibration: calibration).convert(config, parameters)
        let tensors = Dictionary(
            uniqueKeysWithValues: parameters.names.compactMap { name in
                parameters[name].map { (name, Tensor(shape: Shape($0.shape), storage: $0.float32())) }
            })
        let parent = try DecoderLM(config: config, tensors: tensors)
        let scratch = ScratchDirectory()
        let store = ConversionStore(folder: scratch["kept"], parent: "hash", interval: .zero)
        func refined(
            _ store: ConversionStore?, seed: UInt64 = 5, stopBehind last: Int? = nil
        ) throws -> (weights: [[Float]?], steps: [Int]) {
            var steps: [Int] = []
            let refinement = Refinement(
                parent: parent, tensors: tensors, calibration: calibration, seed: seed, store: store)
            let weights = try refinement.run(start.0, start.1) { done, all in
                steps.append(done)
                #expect(all == 496)
                if done == last { throw CancellationError() }
            }
            return (weights.names.map { weights[$0]?.float32().array() }, steps)
        }
        let whole = try refined(nil)
        #expect(whole.steps == Array(1...496) && store.isEmpty)
        #expect(throws: CancellationError.self) { try refined(store, stopBehind: 20) }
        #expect(!store.isEmpty)
        let rest = try refined(store)
        #expect(rest.steps == Array(21...496) && rest.weights == whole.weights)
        // All steps are kept now; of a damaged state nothing can be used.
        #expect(try refined(store).steps == [])
        let names = try FileManager.default.contentsOfDirectory(atPath: scratch["kept"])
        #expect(names.count == 1)
        try scratch.write([1, 2, 3], to: "kept/" + names[0])
        let again = try refined(store)
        #expect(again.steps == Array(1...496) && again.weights == whole.weights)
        // Another seed is another refinement, whose state takes the place of this one.
        #expect(throws: CancellationError.self) { try refined(store, seed: 6, stopBehind: 1) }
        let other = try FileManager.default.contentsOfDirectory(atPath: scratch["kept"])
        #expect(other.count == 1 && other != names)
        try store.remove()
        #expect(scratch.names == [])
    }

    @Test func `weights that were exact are kept as they were`() throws {
        let (config, parameters) = try disguised(orthogonal: false)
        let calibration = try TestCalibration.random(config)
        let start = try Converter(HeadMergeMethod(SVDMethod(), kvHeads: 2), calibration: calibration).convert(config, parameters)
        let refined = try Converter(HeadMergeMethod(LearnedMethod(), kvHeads: 2), calibration: calibration)
            .convert(config, parameters)
        for name in start.1.names {
            #expect(start.1[name]?.float32().array() == refined.1[name]?.float32().array(), "\(name)")
        }
    }

    @Test func `what needs calibration says so, and too short a text is refused`() {
        let parameters = TinyModel.parameters(config)
        let missing = #expect(throws: ConversionError.self) {
            try Converter(HeadMergeMethod(LearnedMethod(), kvHeads: 2)).convert(config, parameters)
        }
        #expect(missing == .needsCalibration("method 'learned'"))
        #expect(throws: ConversionError.needsCalibration("grouping 'activation'")) {
            try Converter(HeadMergeMethod(SVDMethod(), kvHeads: 2, grouping: .activation)).convert(config, parameters)
        }
        #expect(throws: ConversionError.calibrationTooShort(found: 100, needed: 2048)) {
            try Calibration(ids: [Int32](repeating: 1, count: 100), maxSequence: 64)
        }
        #expect(throws: ConversionError.calibrationTooShort(found: 3000, needed: 4000)) {
            try Calibration(ids: [Int32](repeating: 1, count: 3000), tokens: 4000, maxSequence: 64)
        }
    }

    @Test func `weights with NaN are refused before anything is written`() throws {
        var parameters = TinyModel.parameters(config)
        let name = "model.layers.1.self_attn.k_proj.weight"
        let shape = try #require(parameters[name]).shape
        parameters[name] = Weight(shape: shape, storage: Storage(repeating: .nan, count: shape.reduce(1, *)))
        #expect(throws: (any Error).self) {
            try Converter(HeadMergeMethod(AlignedMethod(), kvHeads: 2)).convert(config, parameters)
        }
    }
}
