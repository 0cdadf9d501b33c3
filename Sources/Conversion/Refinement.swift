import Autograd
import Checkpoints
import Files
import Foundation
import Kernels
import Models
import Random

/// The refinement of a converted model's attention weights, layer by layer, to the parent's block outputs; layers that share
/// keys and values are refined together.
///
/// A layer's input is the residual stream of the converted layers before it over the calibration text, so that the layer
/// learns to undo their errors; its target is the parent's block output for the same tokens. Only queries, keys, values and
/// output projection change, and keep their values if they end no nearer to the target, as when they were exact. The number
/// of steps depends on the model's size alone: the same inputs give the same weights.
struct Refinement {
    let parent: DecoderLM
    let calibration: Calibration
    /// Optimizer steps per layer, a batch each.
    let steps: Int
    let seed: UInt64
    /// Keeps the layers refined so far; nil for none.
    var store: ConversionStore?

    /// Steps per layer, 20 to 300: all layers together get 3 TFLOP, half a minute on two cores.
    static func steps(_ config: ModelConfig, _ calibration: Calibration) -> Int {
        let tokens = Double(calibration.batches.first?.tokens.count ?? 1)
        let weights = Double(config.parameterCount - config.vocabularySize * config.hiddenSize) / Double(config.layers)
        return max(20, min(300, Int(3e12 / Double(config.layers) / (6 * weights * tokens))))
    }

    /// The peak learning rate, relative to the root mean square of a weight.
    private static let rate: Float = 0.03

    /// The child's weights after refinement; `progress` is called with the number of layers done.
    func run(_ config: ModelConfig, _ parameters: Parameters, progress: (Int) throws -> Void = { _ in }) throws -> Parameters {
        var refined = parameters
        let (runs, key) = (config.sharingRuns, try store.map { try self.key(config, parameters, $0) } ?? "")
        let found = store?.state(key, runs: runs, batches: calibration.batches.count)
        for (name, weight) in found?.weights ?? [:] { refined[name] = weight }
        var parentStream = found?.parentStream ?? calibration.batches.map(parent.embedded)
        var childStream = found?.childStream ?? calibration.batches.map(parent.embedded)
        var unkept: [(run: Range<Int>, weights: [(name: String, weight: Weight)])] = []
        var lastKept = ContinuousClock.now
        for run in runs where run.upperBound > found?.layers ?? 0 {
            let targets = zip(parentStream, calibration.batches).map { parent.blocks(run, $0, $1) }
            if run.contains(where: { config.attentionDiffers(from: parent.config, layer: $0) }) {
                try refine(run, config, &refined, childStream, targets)
            }
            let child = try DecoderLM(config: config, parameters: refined)
            childStream = zip(childStream, calibration.batches).map { child.blocks(run, $0, $1)[run.count - 1] }
            parentStream = targets.map { $0[run.count - 1] }
            if let store {
                let weights = names(run, config).compactMap { name in refined[name].map { (name: name, weight: $0) } }
                unkept.append((run, weights))
                if lastKept.duration(to: .now) >= store.interval {
                    try store.keep(unkept, parentStream: parentStream, childStream: childStream, key)
                    (unkept, lastKept) = ([], .now)
                }
            }
            try progress(run.upperBound)
        }
        return refined
    }

    /// The weights that are refined with the layers of `run`.
    private func names(_ run: Range<Int>, _ config: ModelConfig) -> [String] {
        config.weights.filter { name, shape in
            name.module.isAttention && shape.count == 2 && name.layer.map(run.contains) == true
        }.map { "\($0.name)" }
    }

    /// The hash of all that decides the refined weights: the models, the text, the steps and the seed.
    private func key(_ config: ModelConfig, _ parameters: Parameters, _ store: ConversionStore) throws -> String {
        var parts = [store.parent, try CanonicalJSON.text(of: config), "\(steps) steps, seed \(seed)"]
        for batch in calibration.batches { parts.append("\(batch.batch)×\(batch.seq) \(batch.tokens)") }
        for name in names(0..<config.layers, config) {
            guard let weight = parameters[name] else { continue }
            let digest = unsafe weight.withUnsafeBytes { unsafe SHA256Digest(of: $0).hex }
            parts.append("\(name) \(digest)")
        }
        return String(SHA256Digest(of: parts.joined(separator: "\n")).hex.prefix(16))
    }

    private func refine(
        _ run: Range<Int>, _ config: ModelConfig, _ parameters: inout Parameters, _ inputs: [Tensor], _ targets: [[Tensor]]
    ) throws {
        let names = names(run, config)
        var tensors = Dictionary(
            uniqueKeysWithValues: parameters.names.compactMap { name in
                parameters[name].map { (name, Tensor(shape: Shape($0.shape), storage: $0.float32())) }
            })
        let weights = names.compactMap { name in tensors[name].map { (name, Storage(copying: $0.values), $0.shape) } }
        let moments = weights.map { (Storage(repeating: 0, count: $0.1.count), Storage(repeating: 0, count: $0.1.count)) }
        let rates = weights.map { _, storage, _ in
            let values = storage.array()
            return Self.rate * (values.reduce(0) { $0 + $1 * $1 } / Float(max(values.count, 1))).squareRoot()
        }
        var generator = SeededGenerator(seed: seed, name: "refinement/\(run.lowerBound)")
        var order: [Int] = []
        var model = try DecoderLM(config: config, tensors: tensors)
        func errors(_ batch: Int) -> [Tensor] {
            zip(model.blocks(run, inputs[batch], calibration.batches[batch]), targets[batch]).map {
                let error = $0 - $1
                return (error * error).mean()
            }
        }
        /// The squared error over the whole text.
        func whole() -> Double {
            calibration.batches.indices.reduce(0) { sum, batch in errors(batch).reduce(sum) { $0 + Double($1.values[0]) } }
        }
        let before = whole()
        for step in 1...steps {
            if order.isEmpty { order = Array(calibration.batches.indices).shuffled(using: &generator) }
            let batch = order.removeLast()
            for (name, storage, shape) in weights { tensors[name] = .variable(Tensor(shape: shape, storage: storage)) }
            model = try DecoderLM(config: config, tensors: tensors, earlier: model)
            let losses = errors(batch)
            let gradients = losses.dropFirst().reduce(losses[0], +).gradients()
            // Warmed up over a twentieth, then along a cosine to a tenth.
            let part = Float(step) / Float(steps)
            let share = min(1, part * 20) * (0.55 + 0.45 * cosine(part))
            for (index, (name, storage, _)) in weights.enumerated() {
                guard let tensor = tensors[name], let gradient = gradients[tensor] else { continue }
                AdamWKernel.update(
                    storage, gradient: gradient.storage, m: moments[index].0, v: moments[index].1,
                    AdamWKernel.Step(
                        learningRate: rates[index] * share, beta1: 0.9, beta2: 0.99, epsilon: 1e-12, weightDecay: 0, count: step,
                        gradientScale: 1))
            }
        }
        for (name, storage, shape) in weights { tensors[name] = Tensor(shape: shape, storage: storage) }
        model = try DecoderLM(config: config, tensors: tensors, earlier: model)
        guard whole() < before else { return }
        for (name, storage, shape) in weights {
            parameters[name] = Weight(shape: shape.dimensions, storage: storage)
        }
    }

    private func cosine(_ part: Float) -> Float { Float(Foundation.cos(Double(part) * .pi)) }
}

extension ModelConfig {
    /// Whether the attention of `layer` differs from the parent's: fewer KV heads, a shape of its own, shared keys and values, a window.
    func attentionDiffers(from parent: ModelConfig, layer: Int) -> Bool {
        kvHeads[layer] != parent.kvHeads[layer]
            || attentionShape?.geometry(.float32) != parent.attentionShape?.geometry(.float32)
            || window(layer) != parent.window(layer) || keyValueSource(layer) != parent.keyValueSource(layer)
            || attentionSinks != parent.attentionSinks
    }
}
