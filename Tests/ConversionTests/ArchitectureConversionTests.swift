import Autograd
import Kernels
import Models
import Random
import TestSupport
import Testing

@testable import Conversion

/// Conversions to another attention than heads of their own in every layer.
@Suite struct ArchitectureConversionTests {
    private func logits(_ config: ModelConfig, _ parameters: Parameters) throws -> [Float] {
        let tokens = (0..<2 * 40).map { Int32($0 * 17 % 61) }
        return try DecoderLM(config: config, parameters: parameters).logits(ModelInput(batch: 2, seq: 40, tokens: tokens)).values
    }

    private func convert(
        _ design: some AttentionDesign, _ config: ModelConfig, _ parameters: Parameters, refines: Bool = false
    ) throws -> (ModelConfig, Parameters) {
        try ArchitectureConversion(
            design: design, calibration: TestCalibration.random(config), refines: refines
        ).convert(config, parameters)
    }

    @Test(arguments: [1, 2], [false, true])
    func `latent attention of full rank is the model whose keys differ by complex factors`(kvHeads: Int, hasBias: Bool) throws {
        var config = TinyModel.config(kvHeads: kvHeads)
        (config.hasQueryKeyValueBias, config.hasOutputBias) = (hasBias, hasBias)
        var parameters = TinyModel.parameters(config)
        if kvHeads == 2 {
            for layer in 0..<config.layers {
                // The second head's keys are the first one's, each plane turned and stretched in its own way.
                var weights = try AttentionWeights(config, parameters, layer: layer)
                var turned = weights.key.rows(0..<12)
                for plane in 0..<6 {
                    HeadPlanes.multiply(
                        &turned, start: 0, rotaryDim: 12, plane: plane,
                        by: .init(re: 1 - 0.3 * Double(plane), im: 0.4 * Double(plane) - 0.5))
                }
                weights.key.replace(12, 0, with: turned)
                weights.set(.key, weights.key, in: &parameters, layer: layer)
            }
        }
        let shape = LatentShape(rank: 12 * kvHeads, ropeHeadDim: 12, valueHeadDim: 12)
        let (child, converted) = try convert(LatentDesign(shape: shape), config, parameters)
        #expect(child.kvBytesPerToken(.float32) == 2 * 4 * (12 * kvHeads + 12))
        // Float64 decompositions stored as Float32: logits of some 3 move by rounding.
        #expect(differences(try logits(child, converted), try logits(config, parameters), absolute: 1e-3) == [])
    }

    @Test func `partial rotary positions stay with the elements that have them, exactly for MQA`() throws {
        var config = TinyModel.config(kvHeads: 1)
        (config.rotaryWidth, config.hasQueryKeyValueBias, config.hasParallelResidual) = (4, true, true)
        (config.hasLayerNorm, config.activation) = (true, .gelu)
        let parameters = TinyModel.parameters(config)
        // Twelve elements of values and eight of keys that RoPE leaves alone.
        let shape = LatentShape(rank: 20, ropeHeadDim: 4, valueHeadDim: 12)
        let (child, converted) = try convert(LatentDesign(shape: shape), config, parameters)
        #expect(child.rotaryWidth == nil && child.kvBytesPerToken(.float32) == 2 * 4 * 24)
        #expect(differences(try logits(child, converted), try logits(config, parameters), absolute: 1e-3) == [])
    }

    @Test(arguments: [false, true])
    func `where positions are learned a latent of full rank is the model, which refining leaves as it is`(refines: Bool) throws {
        var config = TinyModel.config(heads: 4, kvHeads: 4)
        (config.hasLearnedPositions, config.rotaryWidth, config.hasQueryKeyValueBias) = (true, 0, true)
        let parameters = TinyModel.parameters(config)
        // Keys and values are made of 32 elements and a bias.
        let (child, converted) = try convert(
            LatentDesign(shape: LatentShape(rank: 33, ropeHeadDim: 0, valueHeadDim: 12)), config, parameters, refines: refines)
        #expect(child.kvBytesPerToken(.float32) == 2 * 4 * 33)
        #expect(differences(try logits(child, converted), try logits(config, parameters), absolute: 1e-3) == [])
    }

    @Test func `a latent's rank buys exactness`() throws {
        let config = TinyModel.config(heads: 4, kvHeads: 4)
        let parameters = TinyModel.parameters(config)
        let before = try logits(config, parameters)
        let errors = try [8, 24, 48, 90].map { rank in
            let (child, converted) = try convert(
                LatentDesign(shape: LatentShape(rank: rank, ropeHeadDim: 12, valueHeadDim: 12)), config, parameters)
            return zip(try logits(child, converted), before).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
        }
        #expect(errors[0] > 1.5 * errors[1] && errors[1] > 1.02 * errors[2])
        // The rest is the position that keys left over have lost.
        #expect(abs(errors[3] - errors[2]) < 1e-3 * errors[2])
    }

    @Test func `layers that differ by what queries and output can take up share exactly`() throws {
        let config = TinyModel.config(heads: 4, kvHeads: 2)
        let first = try AttentionWeights(config, TinyModel.parameters(config), layer: 0)
        var second = try AttentionWeights(config, TinyModel.parameters(config), layer: 1)
        (second.key, second.value) = (first.key, first.value)
        var generator = SeededGenerator(seed: 4)
        for head in 0..<2 {
            for plane in 0..<6 {
                HeadPlanes.multiply(
                    &second.key, start: head * 12, rotaryDim: 12, plane: plane,
                    by: .init(re: generator.uniform() + 0.5, im: generator.uniform() - 0.5))
            }
            let mixing = DenseMatrix(rows: 12, columns: 12, values: generator.normals(144, deviation: 1).map(Double.init))
            second.value.replace(head * 12, 0, with: mixing * first.value.rows(head * 12..<head * 12 + 12))
        }
        let noise = DenseMatrix(rows: 32, columns: 64, values: generator.normals(32 * 64, deviation: 1).map(Double.init))
        let moment = noise.timesTransposed(noise).scaled(by: 1 / 64)
        let shared = try CrossLayerConversion().convert(
            [first, second], moment: moment, crossMoments: [moment, moment], seed: 0)
        #expect(shared[0].key == shared[1].key && shared[0].value == shared[1].value)
        for (before, after) in zip([first, second], shared) {
            for head in 0..<4 {
                let (rows, kv) = (head * 12..<head * 12 + 12, head / 2 * 12)
                // What a head writes for what a token reads, and each plane's complex scores.
                let written = before.output.columns(rows) * before.value.rows(kv..<kv + 12)
                let writes = after.output.columns(rows) * after.value.rows(kv..<kv + 12)
                #expect((written + writes.scaled(by: -1)).norm < 1e-5 * written.norm)
                for plane in 0..<6 {
                    func scores(_ w: AttentionWeights) -> DenseMatrix {
                        let q = [rows.lowerBound + plane, rows.lowerBound + plane + 6].map { w.query.rows($0..<$0 + 1) }
                        let k = [kv + plane, kv + plane + 6].map { w.key.rows($0..<$0 + 1) }
                        return q[0].transposedTimes(k[0]) + q[1].transposedTimes(k[1])
                    }
                    let (a, b) = (scores(before), scores(after))
                    // The ridge of a millionth is all that is lost.
                    #expect((a + b.scaled(by: -1)).norm < 1e-4 * a.norm)
                }
            }
        }
    }

    @Test func `under QK-norm layers with the same keys share exactly, whatever their gains are`() throws {
        var config = TinyModel.config(heads: 4, kvHeads: 2)
        config.hasQueryKeyNorm = true
        var generator = SeededGenerator(seed: 6)
        var layers: [AttentionWeights] = []
        for index in 0..<2 {
            var layer = try AttentionWeights(config, TinyModel.parameters(config), layer: index)
            // One number for both elements of a plane.
            let gains = (0..<2).map { _ in (0..<6).map { _ in 0.5 + generator.uniform() } }
            layer.gains = gains.map { $0 + $0 }
            if let first = layers.first { (layer.key, layer.value) = (first.key, first.value) }
            layers.append(layer)
        }
        let moment = DenseMatrix(identity: 32)
        let shared = try CrossLayerConversion().convert(layers, moment: moment, crossMoments: [moment, moment], seed: 0)
        for (before, after) in zip(layers, shared) {
            #expect(after.gains[1] == layers[0].gains[1])
            for plane in 0..<12 {
                let (was, now) = (before.gains[0][plane] * before.gains[1][plane], after.gains[0][plane] * after.gains[1][plane])
                #expect(abs(was - now) < 1e-12)
            }
            for head in 0..<4 {
                // What the norms read, queries and keys turned alike if at all.
                let (rows, kv) = (before.range(of: head), before.range(of: head / 2))
                let scores = before.query.rows(rows).transposedTimes(before.key.rows(kv))
                let found = after.query.rows(rows).transposedTimes(after.key.rows(kv))
                #expect((scores + found.scaled(by: -1)).norm < 1e-4 * scores.norm)
            }
        }
    }

    @Test func `a norm of keys that are all of one size is folded into a latent exactly`() throws {
        // Inputs of the norm that no token changes: projections of nothing, and biases.
        var config = TinyModel.config(kvHeads: 1)
        (config.hasQueryKeyValueBias, config.hasQueryKeyNorm) = (true, true)
        var parameters = TinyModel.parameters(config)
        for layer in 0..<config.layers {
            for name in [WeightName(.query, layer: layer), WeightName(.key, layer: layer)] {
                let shape = try #require(parameters[name]).shape
                parameters[name] = Weight(
                    shape: shape, storage: Storage(repeating: 0, count: shape[0] * shape[1]))
            }
            for norm in [WeightName.Module.queryNorm, .keyNorm] {
                let gains = (0..<12).map { 0.5 + Float(($0 * 5 + layer) % 7) / 4 }
                parameters[WeightName(norm, layer: layer)] = Weight(shape: [12], storage: Storage(copying: gains))
            }
        }
        let (child, converted) = try convert(
            LatentDesign(shape: LatentShape(rank: 12, ropeHeadDim: 12, valueHeadDim: 12)), config, parameters)
        #expect(child.hasQueryKeyNorm == nil && child.hasQueryKeyValueBias == true)
        #expect(differences(try logits(child, converted), try logits(config, parameters), absolute: 1e-3) == [])
    }

    @Test(arguments: TinyDesigns.allCases.filter { $0 != .gqa }, [false, true])
    func `refinement brings every design nearer to its parent`(design: TinyDesigns, isNormed: Bool) throws {
        var config = TinyModel.config(layers: 4, heads: 4, kvHeads: 4)
        config.hasQueryKeyValueBias = [.latentBiased, .latentLearned, .crossLayerNormed].contains(design)
        if design == .latentLearned { (config.hasLearnedPositions, config.rotaryWidth) = (true, 0) }
        config.hasQueryKeyNorm = isNormed
        let parameters = TinyModel.parameters(config)
        let chosen: any AttentionDesign =
            switch design {
            case .latent, .latentBiased: LatentDesign(shape: LatentShape(rank: 30, ropeHeadDim: 6, valueHeadDim: 12))
            case .latentLearned: LatentDesign(shape: LatentShape(rank: 30, ropeHeadDim: 0, valueHeadDim: 12))
            case .yoco: YOCOAttention(window: 6)
            case .hybrid: HybridAttention(window: 5, fullEvery: 2, sinks: 2)
            case .windowed: HybridAttention(window: 7, fullEvery: 0)
            default: CrossLayerAttention(share: 2)
            }
        // What random weights make of random tokens says nothing of others: the text refined on is the one looked at.
        let text = try TestCalibration.random(config).batches[0]
        let before = try DecoderLM(config: config, parameters: parameters).logits(text).values
        func error(_ refines: Bool) throws -> Double {
            let (child, converted) = try convert(chosen, config, parameters, refines: refines)
            #expect(child.kvBytes(.float16, tokens: 64) < config.kvBytes(.float16, tokens: 64))
            let after = try DecoderLM(config: child, parameters: converted).logits(text).values
            return zip(after, before).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
        }
        let (rewritten, refined) = (try error(false), try error(true))
        #expect(refined < 0.9 * rewritten, "\(rewritten) to \(refined)")
    }

    @Test func `what cannot be converted is refused with the reason before any work`() throws {
        func refusal(_ design: some AttentionDesign, _ change: (inout ModelConfig) -> Void = { _ in }) throws -> String {
            var config = TinyModel.config(layers: 4)
            change(&config)
            do {
                _ = try ArchitectureConversion.childConfig(config, design)
                return "nothing"
            } catch { return "\(error)" }
        }
        func latent(_ rank: Int, _ rope: Int) -> LatentDesign {
            LatentDesign(shape: LatentShape(rank: rank, ropeHeadDim: rope, valueHeadDim: 12))
        }
        #expect(try refusal(latent(49, 6)).contains("choose 1 to 48"))
        #expect(try refusal(latent(20, 8)).contains("choose one of 2, 4, 6, 12"))
        #expect(
            try refusal(latent(20, 6)) { $0.latent = LatentShape(rank: 4, ropeHeadDim: 4, valueHeadDim: 4) }.contains("already"))
        #expect(try refusal(latent(20, 6)) { $0.rotaryWidth = 0 }.contains("no rotary positions"))
        #expect(try refusal(latent(20, 4)) { $0.rotaryWidth = 6 }.contains("RoPE turns in a head; choose one of 2, 6"))
        #expect(try refusal(latent(20, 0)).contains("choose one of 2, 4, 6, 12"))
        #expect(try refusal(CrossLayerAttention(share: 2)) { $0.keyValueSources = [0, 0, 2, 2] }.contains("already"))
        #expect(try refusal(YOCOAttention(window: 4)) { $0.slidingWindow = .all(8) }.contains("windows already"))
    }
}
