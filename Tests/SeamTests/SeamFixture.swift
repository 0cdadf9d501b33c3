import Inference
import Kernels
import Models
import Random
import TestSupport
import Text

/// Attention designs whose caches differ.
enum TinyDesign: CaseIterable {
    case grouped, latent

    var config: ModelConfig {
        get throws {
            var config = TinyModel.config(kvHeads: 2, headDim: 16, maxSequence: 320)
            if self == .latent {
                try LatentDesign(shape: LatentShape(rank: 24, ropeHeadDim: 8, valueHeadDim: 16)).configure(&config)
            }
            return config
        }
    }
}

/// Seeded values between -2 and 2.
struct RandomValues {
    private var random: SeededGenerator

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    mutating func values(_ count: Int) -> [Float] { (0..<count).map { _ in Float(random.uniform() * 4 - 2) } }
}

/// The outcomes of every exactness gate for a tiny model.
func gates(_ config: ModelConfig, encoding: CacheEncoding) throws -> [ExactnessGate] {
    try ExactnessGates(
        config: config, parameters: TinyModel.parameters(config), encoding: encoding, pageBytes: 2048,
        tokens: (0..<300).map { Int32($0 * 17 % 61) }, decoded: 20, tier: ToyTier()
    ).run()
}

/// The tokens that six requests get, each of 30, from an engine that `change` sets up.
func outputs(
    prompts: [Int] = [5, 40, 9, 33, 70, 12], own: (any Retention)? = nil, _ change: (inout EngineOptions) -> Void
) async throws -> [[Int32]] {
    let tokenizer = ByteTokenizer()
    let config = TinyModel.config(vocabulary: tokenizer.vocabularySize, kvHeads: 2, headDim: 16, maxSequence: 128)
    var options = EngineOptions()
    (options.pageBytes, options.cacheBytes, options.batchInvariant) = (1024, 400 * 1024, true)
    change(&options)
    let model = EngineModel(
        name: "tiny", model: try ServingModel(config: config, parameters: TinyModel.parameters(config, deviation: 0.3)),
        tokenizer: tokenizer, stopIDs: [])
    let engine = try Engine(models: [model], options: options)
    var sampling = SamplingOptions()
    (sampling.maxTokens, sampling.temperature) = (30, 0)
    var generations: [Generation] = []
    for (index, length) in prompts.enumerated() {
        let prompt = (0..<length).map { Int32(($0 * 31 + index * 17 + 7) % 251) }
        var request = GenerationRequest(model: 0, prompt: prompt, sampling: sampling)
        request.retention = own
        generations.append(try await engine.submit(request))
    }
    for _ in 0..<20_000 { guard await engine.step() else { break } }
    var found: [[Int32]] = []
    for generation in generations {
        var tokens: [Int32] = []
        for await event in generation.events { if case .token(_, let token, _) = event { tokens.append(token.id) } }
        found.append(tokens)
    }
    return found
}
