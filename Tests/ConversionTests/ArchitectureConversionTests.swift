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
        _ settings: DesignSettings, to method: String = "mla", _ config: ModelConfig, _ parameters: Parameters,
        refines: Bool = false, windows: Int? = nil
    ) throws -> (ModelConfig, Parameters) {
        var settings = settings
        settings.values["refinement"] = .flag(refines)
        let method = try #require(ConversionMethods.named(method, settings))
        let converter = Converter(method, calibration: try TestCalibration.random(config, windows: windows))
        let (child, converted, report) = try converter.convert(config, parameters)
        #expect(report.isRefined == refines && report.grouping == nil)
        return (child, converted)
    }

    private func latent(_ rank: Int, _ rope: Int) -> DesignSettings {
        ["rank": .integer(rank), "ropeHeadDim": .integer(rope)]
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
        let (child, converted) = try convert(latent(12 * kvHeads, 12), config, parameters)
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
        let (child, converted) = try convert(latent(20, 4), config, parameters)
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
            latent(33, 0), config, parameters, refines: refines)
        #expect(child.kvBytesPerToken(.float32) == 2 * 4 * 33)
        #expect(differences(try logits(child, converted), try logits(config, parameters), absolute: 1e-3) == [])
    }

    @Test func `a latent's rank buys exactness`() throws {
        let config = TinyModel.config(heads: 4, kvHeads: 4)
        let parameters = TinyModel.parameters(config)
        let before = try logits(config, parameters)
        let errors = try [8, 24, 48, 90].map { rank in
            let (child, converted) = try convert(
                latent(rank, 12), config, parameters)
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
            latent(12, 12), config, parameters)
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
        let (method, settings): (String, DesignSettings) =
            switch design {
            case .gqa, .crossLayer, .crossLayerNormed: ("cross-layer", ["share": .integer(2)])
            case .latent, .latentBiased: ("mla", latent(30, 6))
            case .latentLearned: ("mla", latent(30, 0))
            case .yoco: ("yoco", ["window": .integer(6)])
            case .hybrid: ("hybrid", ["window": .integer(5), "fullEvery": .integer(2), "sinks": .integer(2)])
            case .windowed: ("hybrid", ["window": .integer(7), "fullEvery": .integer(0)])
            }
        // What random weights make of random tokens says nothing of others: the windows refined on are those looked at.
        let text = try TestCalibration.random(config, windows: 4).batches[0]
        let before = try DecoderLM(config: config, parameters: parameters).logits(text).values
        func error(_ refines: Bool) throws -> Double {
            let (child, converted) = try convert(settings, to: method, config, parameters, refines: refines, windows: 4)
            #expect(child.kvBytes(.float16, tokens: 64) < config.kvBytes(.float16, tokens: 64))
            let after = try DecoderLM(config: child, parameters: converted).logits(text).values
            return zip(after, before).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
        }
        let (rewritten, refined) = (try error(false), try error(true))
        #expect(refined < 0.9 * rewritten, "\(rewritten) to \(refined)")
    }

    @Test func `what cannot be converted is refused with the reason before any work`() throws {
        func refusal(
            _ settings: DesignSettings, of method: String = "mla", _ change: (inout ModelConfig) -> Void = { _ in }
        ) throws -> String {
            var config = TinyModel.config(layers: 4)
            change(&config)
            do {
                _ = try #require(ConversionMethods.named(method, settings)).childConfig(config)
                return "nothing"
            } catch { return "\(error)" }
        }
        #expect(try refusal(latent(49, 6)).contains("choose 1 to 48"))
        #expect(try refusal(latent(20, 8)).contains("choose one of 2, 4, 6, 12"))
        #expect(
            try refusal(latent(20, 6)) { $0.latent = LatentShape(rank: 4, ropeHeadDim: 4, valueHeadDim: 4) }.contains("already"))
        #expect(try refusal(latent(20, 6)) { $0.rotaryWidth = 0 }.contains("no rotary positions"))
        #expect(try refusal(latent(20, 4)) { $0.rotaryWidth = 6 }.contains("RoPE turns in a head; choose one of 2, 6"))
        #expect(try refusal(latent(20, 0)).contains("choose one of 2, 4, 6, 12"))
        #expect(try refusal(["share": .integer(2)], of: "cross-layer") { $0.keyValueSources = [0, 0, 2, 2] }.contains("already"))
        #expect(try refusal(["window": .integer(4)], of: "yoco") { $0.slidingWindow = .all(8) }.contains("windows already"))
    }

    @Test func `a budget decides a latent's rank, and half of the rotated elements stay so unless said`() throws {
        let config = TinyModel.config(layers: 4)
        var method = LatentMethod()
        let calibration = try TestCalibration.random(config)
        func spend(_ bytes: Int) throws {
            try method.spend(
                bytesPerToken: bytes, .float16, config, TinyModel.parameters(config), calibration, progress: { _, _ in })
        }
        try spend(4 * 2 * 20 + 7)
        #expect(try method.childConfig(config).latent == LatentShape(rank: 14, ropeHeadDim: 6, valueHeadDim: 12, hasNorm: false))
        #expect(try method.childConfig(config).kvBytesPerToken(.float16) == 4 * 2 * 20)
        let refused = #expect(throws: ConversionError.self) { try spend(4 * 2 * 7 - 1) }
        #expect(refused == .budgetTooSmall(bytes: 4 * 2 * 7 - 1, least: 4 * 2 * 7))
    }

    @Test func `every design has a conversion, whose design from scratch is what it makes`() throws {
        let settings: [String: DesignSettings] = [
            "mla": ["rank": .integer(10), "ropeHeadDim": .integer(6)], "cross-layer": ["share": .integer(2)],
            "yoco": ["window": .integer(5), "sinks": .integer(1)], "hybrid": ["window": .integer(5), "fullEvery": .integer(2)],
        ]
        let config = TinyModel.config(layers: 4)
        for design in AttentionDesigns.all {
            let given = try #require(settings[design.name])
            let method = try #require(ConversionMethods.named(design.name, given))
            let (values, headDim) = try #require(method.design(headDim: 12))
            #expect(values.values.keys.allSatisfy { key in design.settings.contains { $0.key == key } })
            var fresh = config
            fresh.headDim = .all(headDim)
            try design.init(values, headDim: headDim).configure(&fresh)
            #expect(try method.childConfig(config).weightShapes.map(\.shape) == fresh.weightShapes.map(\.shape), "\(design.name)")
            #expect(method.settings.filter(\.isRequired).allSatisfy { given.values[$0.key] != nil })
        }
    }

    @Test func `settings of one key are one option, and no two keys share theirs`() {
        let settings = ConversionMethods.all.flatMap(\.settings)
        #expect(Set(settings.map(\.key)).count == Set(settings.map(\.option)).count)
        let options = Set(settings.map(\.option))
        #expect(
            options.isSuperset(of: [
                "kv-heads", "grouping", "rank", "rope-head-dim", "share-layers", "full-every", "no-refinement",
            ]))
    }
}
