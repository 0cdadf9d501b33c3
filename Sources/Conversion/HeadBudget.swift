import Kernels
import Models

/// The allocation of KV heads to layers under one budget of cache bytes: layers that lose more by sharing keep more heads.
public enum HeadBudget {
    /// The KV heads of each layer, divisors of its present ones, whose cache takes at most `bytesPerToken`.
    ///
    /// The loss in cross-entropy on calibration text is measured for each layer alone and each number of heads (by `svd`
    /// merges, as they are fast); losses are taken to be additive, and the least sum within the budget is found exactly.
    /// `progress` is called with the measurements done and their number. Throws
    /// ``ConversionError/budgetTooSmall(bytes:least:)``.
    public static func kvHeads(
        _ config: ModelConfig, _ parameters: Parameters, bytesPerToken: Int, encoding: KVEncoding, calibration: Calibration,
        progress: (Int, Int) throws -> Void = { _, _ in }
    ) throws -> PerLayer<Int> {
        let unit = (0..<config.layers).map {
            encoding.tokenBytes(kvHeads: 1, keyDim: config.headDim[$0], valueDim: config.headDim[$0])
        }
        let least = unit.reduce(0, +)
        guard bytesPerToken >= least else { throw ConversionError.budgetTooSmall(bytes: bytesPerToken, least: least) }
        let options = (0..<config.layers).map { layer in
            (1...config.kvHeads[layer]).filter { config.kvHeads[layer] % $0 == 0 }
        }
        if zip(unit, options).reduce(0, { $0 + $1.0 * ($1.1.last ?? 1) }) <= bytesPerToken { return config.kvHeads }
        let losses = try measure(config, parameters, options, calibration, progress)
        // best[b]: the least loss of the layers so far within b granules, and the choices that give it.
        let granule = unit.reduce(unit[0]) { gcd($0, $1) }
        let capacity = bytesPerToken / granule
        var best: [(loss: Double, choice: [Int])?] = Array(repeating: (0, []), count: capacity + 1)
        for layer in 0..<config.layers {
            var next: [(loss: Double, choice: [Int])?] = Array(repeating: nil, count: capacity + 1)
            for granules in 0...capacity {
                for (option, loss) in zip(options[layer], losses[layer]) {
                    let cost = option * unit[layer] / granule
                    guard cost <= granules, let before = best[granules - cost] else { continue }
                    let sum = before.loss + loss
                    if next[granules].map({ sum < $0.loss }) ?? true { next[granules] = (sum, before.choice + [option]) }
                }
            }
            best = next
        }
        guard let choice = best[capacity]?.choice else {
            throw ConversionError.budgetTooSmall(bytes: bytesPerToken, least: least)
        }
        return PerLayer(choice)
    }

    /// The loss in cross-entropy for each layer and option, that layer alone converted; made monotonic in the number of heads.
    private static func measure(
        _ config: ModelConfig, _ parameters: Parameters, _ options: [[Int]], _ calibration: Calibration,
        _ progress: (Int, Int) throws -> Void
    ) throws -> [[Double]] {
        let model = try DecoderLM(config: config, parameters: parameters)
        let moments = calibration.moments(model)
        let batches = Array(calibration.batches.prefix(2))
        let before = Diagnosis.crossEntropy(model, batches)
        let count = options.reduce(0) { $0 + $1.count - 1 }
        var done = 0
        return try options.enumerated().map { layer, options in
            let weights = try AttentionWeights(config, parameters, layer: layer)
            var losses = try options.dropLast().map { heads in
                let context = LayerContext(layer: layer, moment: moments[layer], seed: 0)
                var (child, converted) = (config, parameters)
                child.kvHeads = PerLayer((0..<config.layers).map { $0 == layer ? heads : config.kvHeads[$0] })
                try SVDMethod().convert(weights, to: heads, context).child.write(to: &converted, layer: layer, unless: weights)
                done += 1
                try progress(done, count)
                let loss = Diagnosis.crossEntropy(try DecoderLM(config: child, parameters: converted), batches) - before
                // Float32 rounding is no loss: else chance would choose between two exact options.
                return loss > 1e-6 * before ? loss : 0
            }
            losses.append(0)
            for index in losses.indices.dropLast().reversed() { losses[index] = max(losses[index], losses[index + 1]) }
            return losses
        }
    }

    private static func gcd(_ a: Int, _ b: Int) -> Int { b == 0 ? a : gcd(b, a % b) }
}
