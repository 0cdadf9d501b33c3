import Autograd
import Foundation
import Kernels
import Random
import TestSupport
import Testing

@testable import Models

@Suite struct AttentionDesignTests {
    private let tokens = (0..<2 * 19).map { Int32($0 * 17 % 61) }

    private func variables(_ config: ModelConfig) -> [(name: String, tensor: Tensor)] {
        let parameters = TinyModel.parameters(config)
        return parameters.names.map { name in
            let weight = parameters[name]!
            return (name, Tensor.variable(Tensor(shape: Shape(weight.shape), storage: weight.float32())))
        }
    }

    private func loss(
        _ config: ModelConfig, _ tensors: [String: Tensor], _ compute: ComputeOptions = ComputeOptions(), packed: Bool = false,
        evicts: Bool = false
    ) throws -> Tensor {
        var model = try DecoderLM(config: config, tensors: tensors)
        model.compute = compute
        let starts = [Int32](repeating: 0, count: 8) + [Int32](repeating: 8, count: 11) + [Int32](repeating: 0, count: 19)
        var input = ModelInput(batch: 2, seq: 19, tokens: tokens, keyStarts: packed ? starts : nil)
        if evicts { input.cache = view(of: input, config) }
        return model.loss(input, targets: tokens.map { ($0 + 5) % 61 })
    }

    /// The view of a cache of unrounded values that evicts each key of a head some rows behind its own.
    private func view(of input: ModelInput, _ config: ModelConfig) -> CacheView {
        var view = CacheView(config.kvGeometry(.float32), input)
        for (layer, geometry) in config.kvGeometry(.float32).enumerated() where geometry.window == nil {
            view.rowEnds[layer] = (0..<input.batch * geometry.kvHeads * input.seq).map { index in
                let (key, head) = (index % input.seq, index / input.seq)
                return Int32(min(input.seq, key + 2 + (key * 5 + head * 3) % 9))
            }
        }
        return view
    }

    @Test(arguments: TinyDesigns.allCases, [false, true])
    func `every weight's gradient agrees with differences`(design: TinyDesigns, packed: Bool) throws {
        try checkGradients(design, packed: packed)
    }

    @Test(arguments: TinyDesigns.allCases, [false, true])
    func `every weight's gradient through a cache that evicts agrees with differences`(design: TinyDesigns, packed: Bool) throws {
        try checkGradients(design, packed: packed, evicts: true)
    }

    private func checkGradients(_ design: TinyDesigns, packed: Bool, evicts: Bool = false) throws {
        let config = try design.config
        let weights = variables(config)
        let tensors = Dictionary(uniqueKeysWithValues: weights.map { ($0.name, $0.tensor) })
        let gradients = try loss(config, tensors, packed: packed, evicts: evicts).gradients()
        for (name, tensor) in weights {
            let gradient = try #require(gradients[tensor], "no gradient for \(name)").values
            // Along the gradient itself, where the loss changes most; the step is a hundredth of the weights' size.
            let norm = gradient.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
            try #require(norm > 1e-4, "\(name)")
            let step = 0x1p-7
            func value(_ shift: Double) throws -> Double {
                var shifted = tensors
                let values = zip(tensor.values, gradient).map { $0 + Float(shift / norm) * $1 }
                shifted[name] = Tensor(values, shape: tensor.shape)
                return Double(try loss(config, shifted, packed: packed, evicts: evicts).scalar)
            }
            let near = try value(step) - value(-step)
            let far = try value(2 * step) - value(-2 * step)
            let slope = (8 * near - far) / (12 * step)
            // A loss of 4 is off by some 5e-7, which the step divides: 1e-4.
            #expect(abs(slope - norm) < 2e-4 + 2e-3 * norm, "\(name): \(norm), differences give \(slope)")
        }
    }

    @Test(arguments: TinyDesigns.allCases, ComputePrecision.allCases)
    func `weights widened block by block give the same losses`(design: TinyDesigns, precision: ComputePrecision) throws {
        let config = try design.config
        var parameters = TinyModel.parameters(config)
        for name in parameters.names {
            guard let weight = parameters[name] else { continue }
            let bytes = weight.float32().array().flatMap { value -> [UInt8] in
                let bits = value.bitPattern >> 16
                return [UInt8(bits & 255), UInt8(bits >> 8)]
            }
            parameters[name] = Weight(elementType: .bfloat16, shape: weight.shape) { bytes }
        }
        var (held, widened) = (
            try DecoderLM(config: config, parameters: parameters), try DecoderLM(widening: parameters, config: config)
        )
        (held.compute.precision, widened.compute.precision) = (precision, precision)
        let input = ModelInput(batch: 2, seq: 19, tokens: tokens)
        let targets = tokens.map { ($0 + 5) % 61 }
        #expect(widened.losses(input, targets: targets) == held.losses(input, targets: targets))
    }

    @Test(arguments: TinyDesigns.allCases, ComputePrecision.allCases)
    func `recomputed blocks change neither the loss nor a gradient`(design: TinyDesigns, precision: ComputePrecision) throws {
        let config = try design.config
        let weights = variables(config)
        let tensors = Dictionary(uniqueKeysWithValues: weights.map { ($0.name, $0.tensor) })
        let kept = try loss(config, tensors, ComputeOptions(precision: precision))
        let again = try loss(config, tensors, ComputeOptions(precision: precision, recompute: .block))
        #expect(kept.scalar == again.scalar)
        let (a, b) = (kept.gradients(), again.gradients())
        let isShared = config.keyValueSources != nil
        for (name, tensor) in weights {
            let (x, y) = (try #require(a[tensor]).values, try #require(b[tensor]).values)
            // Gradients of shared keys and values are added up in another order, and rounded to BFloat16 after that.
            let largest = Double(x.map(abs).max() ?? 0)
            let tolerance = !isShared ? 0 : precision == .fp32 ? 1e-5 * largest : 3e-2 * largest
            #expect(differences(x, y, absolute: tolerance).count == 0, "\(name)")
        }
    }

    @Test(arguments: TinyDesigns.allCases)
    func `a cache's bytes are those of the formula at every length`(design: TinyDesigns) throws {
        let config = try design.config
        for tokens in [1, 4, 5, 6, 7, 8, 30, 64] {
            for type in [ElementType.float32, .float16] {
                #expect(
                    config.kvBytes(CacheEncoding(KVEncoding(type)), tokens: tokens) == design.elements(tokens: tokens)
                        * type.byteCount)
            }
        }
        var cache = ContiguousKVCache(config: config, capacity: 32)
        let model = try ServingModel(config: config, parameters: TinyModel.parameters(config))
        _ = model.logits(RaggedBatch(sequences: [0], counts: [20], tokens: Array(tokens.prefix(20))), cache: &cache)
        #expect(cache.bytesHeld == 4 * design.elements(tokens: 20))
    }

    @Test func `DeepSeek-V2's cache takes 67.5 KiB a token, and YOCO's a fraction of its MHA's`() throws {
        var config = TinyModel.config(layers: 60, heads: 128, kvHeads: 128, headDim: 192, maxSequence: 1 << 17)
        try LatentDesign(shape: LatentShape(rank: 512, ropeHeadDim: 64, valueHeadDim: 128)).configure(&config)
        #expect(config.kvBytesPerToken(.float16) == 69_120)
        var yoco = TinyModel.config(layers: 26, heads: 32, kvHeads: 32, headDim: 128, maxSequence: 1 << 17)
        let whole = yoco.kvBytes(.float16, tokens: 1 << 17)
        try YOCOAttention(window: 1024).configure(&yoco)
        // One layer of 26, and windows of 1/128 of the sequence in 13.
        #expect(yoco.kvBytes(.float16, tokens: 1 << 17) == whole / 26 + 13 * (whole / 26 / 128))
    }

    @Test func `impossible designs are refused with the reason`() {
        func refusal(_ design: some AttentionDesign, _ change: (inout ModelConfig) -> Void = { _ in }) -> String {
            var config = TinyModel.config(layers: 4)
            change(&config)
            do {
                try design.configure(&config)
                try config.validate()
                return "nothing"
            } catch { return "\(error)" }
        }
        #expect(refusal(LatentDesign(shape: LatentShape(rank: 8, ropeHeadDim: 12, valueHeadDim: 8))).contains("leaves nothing"))
        #expect(refusal(LatentDesign(shape: LatentShape(rank: 8, ropeHeadDim: 3, valueHeadDim: 8))).contains("odd"))
        #expect(refusal(LatentDesign(shape: LatentShape(rank: 0, ropeHeadDim: 4, valueHeadDim: 8))).contains("kv_lora_rank"))
        #expect(
            refusal(LatentDesign(shape: LatentShape(rank: 8, ropeHeadDim: 4, valueHeadDim: 8))) { $0.hasQueryKeyNorm = true }
                .contains("cannot be had together"))
        #expect(refusal(CrossLayerAttention(share: 5)).contains("limit of 4"))
        #expect(refusal(CrossLayerAttention(share: 2)) { $0.kvHeads = .each([4, 2, 4, 4]) }.contains("not its own"))
        #expect(refusal(YOCOAttention(window: 0)).contains("window"))
        #expect(refusal(HybridAttention(window: 4, fullEvery: 1)).contains("fullEvery"))
    }

    @Test func `an attention with weights of its own stands in two files of its own, the table and the configuration`() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "../../Sources").standardized
        let files = try FileManager.default.subpathsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".swift") }
        let naming = try files.filter { file in
            try String(contentsOf: folder.appending(path: file), encoding: .utf8).split(separator: "\n").contains { line in
                !line.contains("//") && line.contains(#/\.latent\b|\bLatent(Shape|Weights|Attention)\b/#)
            }
        }
        // A conversion to it and a family that has it are additions of their own.
        let others = naming.filter { !$0.hasPrefix("Conversion/") && !$0.hasPrefix("Checkpoints/Families/") }
        #expect(
            others.sorted() == [
                "Models/Attention/Attention.swift", "Models/Attention/LatentAttention.swift",
                "Models/Attention/ServingLatentAttention.swift", "Models/ModelConfig.swift",
            ])
    }

    @Test func `labels say what a token costs`() throws {
        let labels = try TinyDesigns.allCases.map { try $0.config.attentionLabel }
        #expect(
            labels == [
                "GQA-2", "MLA-10", "MLA-9", "MLA-14", "CLA-2 GQA-2", "CLA-2 GQA-2", "YOCO GQA-2 w6", "GQA-2 w5+2, 2 of 4 full",
                "GQA-2 w7, 0 of 4 full",
            ])
    }
}
