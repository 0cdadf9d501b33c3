import Autograd
import Checkpoints
import Files
import Foundation
import Kernels
import Models
import Random

/// The refinement of a converted model's attention: its matrices are trained to give the parent's predictions over the
/// calibration text (distillation, Hinton et al. 2015).
///
/// The loss is KL(parent ‖ child) of the next token alone, at temperature 1. All layers are trained together, so that each undoes
/// the others' errors. The last windows of the text are held out: a child that comes no nearer to the parent there keeps the
/// weights that it began with, as where these were exact. The number of steps depends on sizes alone: the same inputs give the
/// same weights.
struct Refinement {
    let parent: DecoderLM
    /// The parent's weights in Float32 by name; the child shares those outside attention.
    let tensors: [String: Tensor]
    let calibration: Calibration
    let seed: UInt64
    /// Keeps the steps done so far; nil for none.
    var store: ConversionStore?

    /// The most passes over the calibration text.
    private static let mostPasses = 16
    /// Floating-point operations within which passes behind the first fit: about a minute on two cores.
    private static let mostWork = 2e13
    /// Bytes of activations in a step beyond which the backward pass recomputes them.
    private static let mostActivationBytes = 1 << 28

    /// Passes over the calibration text: at least one, more of a small model.
    static func passes(_ config: ModelConfig, tokens: Int, seq: Int) -> Int {
        max(1, min(mostPasses, Int(mostWork / passWork(config, tokens: tokens, seq: seq))))
    }

    /// Floating-point operations of a refinement over `tokens` tokens in windows of `seq`.
    static func work(_ config: ModelConfig, tokens: Int, seq: Int) -> Double {
        Double(passes(config, tokens: tokens, seq: seq)) * passWork(config, tokens: tokens, seq: seq)
    }

    /// The operations of one pass: forward passes of parent and child, one of recomputation, and the activations' gradients.
    private static func passWork(_ config: ModelConfig, tokens: Int, seq: Int) -> Double {
        4 * 2 * config.matrixParametersPerToken(seq: seq) * Double(tokens)
    }

    /// The child's weights after refinement; `progress` is called with the number of steps done and that of all.
    ///
    /// An error thrown by `progress` ends the refinement; the steps done by then are kept.
    func run(
        _ config: ModelConfig, _ parameters: Parameters, progress: (Int, Int) throws -> Void = { _, _ in }
    ) throws -> Parameters {
        let plan = Plan(calibration, passes: Self.passes(config, tokens: calibration.tokens, seq: calibration.seq), seed: seed)
        var tensors = try tensors(config, parameters)
        var child = try DecoderLM(config: config, tensors: tensors)
        let before = divergence(child, plan.heldOut)
        let start = config.weights.filter { $0.name.module.isAttention && $0.shape.count == 2 }.compactMap { name, shape in
            tensors["\(name)"].map { RefinedMatrix(name: "\(name)", shape: shape, start: $0.storage) }
        }
        let rates = start.map { Self.rate($0, config) }
        let key = try store.map { try self.key(config, start, plan.steps.count, $0) } ?? ""
        let found = store?.state(key, of: start)
        let matrices = found?.matrices ?? start
        var lastKept = ContinuousClock.now
        let compute = self.compute(config, tokens: (plan.steps.first?.count ?? 0) * calibration.seq)
        var teacher = parent
        teacher.compute.precision = compute.precision
        for step in (found?.steps ?? 0)..<plan.steps.count {
            for matrix in matrices { tensors[matrix.name] = .variable(matrix.tensor) }
            child = try DecoderLM(config: config, tensors: tensors, earlier: child)
            child.compute = compute
            let gradients = loss(child, teacher, plan.steps[step]).gradients()
            let share = Self.share(Float(step + 1) / Float(plan.steps.count))
            for (matrix, rate) in zip(matrices, rates) {
                guard let tensor = tensors[matrix.name], let gradient = gradients[tensor] else { continue }
                AdamWKernel.update(
                    matrix.values, gradient: gradient.storage, m: matrix.first, v: matrix.second,
                    AdamWKernel.Step(
                        learningRate: rate * share, beta1: 0.9, beta2: 0.99, epsilon: 1e-12, weightDecay: 0, count: step + 1,
                        gradientScale: 1))
            }
            do {
                try progress(step + 1, plan.steps.count)
            } catch {
                try store?.keep(matrices, steps: step + 1, key)
                throw error
            }
            if let store, lastKept.duration(to: .now) >= store.interval {
                try store.keep(matrices, steps: step + 1, key)
                lastKept = .now
            }
        }
        for matrix in matrices { tensors[matrix.name] = matrix.tensor }
        child = try DecoderLM(config: config, tensors: tensors, earlier: child)
        guard divergence(child, plan.heldOut) < before else { return parameters }
        var refined = parameters
        for matrix in matrices { refined[matrix.name] = Weight(shape: matrix.shape, storage: matrix.values) }
        return refined
    }

    /// The child's weights in Float32 by name: the parent's outside attention, else those of `parameters`.
    private func tensors(_ config: ModelConfig, _ parameters: Parameters) throws(ParametersError) -> [String: Tensor] {
        var result: [String: Tensor] = [:]
        for (name, shape) in config.weights {
            let own = name.module.isAttention ? nil : tensors["\(name)"]
            result["\(name)"] =
                if let own { own } else {
                    Tensor(shape: Shape(shape), storage: try parameters.weight(name, shape: shape).float32())
                }
        }
        return result
    }

    /// The peak learning rate of `matrix`: relative to the root mean square of its values, and to 1/√(hidden·layers), so that a step
    /// changes the predictions of wide and narrow, of deep and shallow models alike.
    private static func rate(_ matrix: RefinedMatrix, _ config: ModelConfig) -> Float {
        let meanSquare = Elementwise.sumOfSquares(matrix.values) / Double(max(matrix.values.count, 1))
        return Float(0.6 * (meanSquare / Double(config.hiddenSize * config.layers)).squareRoot())
    }

    /// The learning rate's share of its peak after `part` of the steps: warmed up over a tenth, then along a cosine to a tenth.
    private static func share(_ part: Float) -> Float {
        min(1, part * 10) * (0.55 + 0.45 * Float(Foundation.cos(Double(part) * .pi)))
    }

    /// The precision of a step of `tokens` tokens, and whether it recomputes activations.
    private func compute(_ config: ModelConfig, tokens: Int) -> ComputeOptions {
        let bytes = (0..<config.layers).reduce(0) { $0 + 4 * tokens * config.activationsPerToken(layer: $1) }
        return ComputeOptions(precision: .bf16, recompute: bytes > Self.mostActivationBytes ? .block : .none)
    }

    /// The mean divergence of the child's predictions from the parent's over `windows`, in nats a token; all have one length.
    private func loss(_ child: DecoderLM, _ parent: DecoderLM, _ windows: [[Int32]]) -> Tensor {
        let input = ModelInput(batch: windows.count, seq: calibration.seq, tokens: windows.flatMap { $0 })
        // The last position predicts a token outside the window: any token says that it counts.
        return child.distillationLoss(
            child.states(input, keepsBlocks: false), targets: input.tokens, teacher: parent,
            parent.states(input, keepsBlocks: false), share: 1, temperature: 1
        ).objective
    }

    /// The divergence over all of `windows`, in Float32.
    private func divergence(_ child: DecoderLM, _ windows: [[Int32]]) -> Double {
        var child = child
        child.compute = ComputeOptions()
        return windows.reduce(0) { $0 + Double(loss(child, parent, [$1]).scalar) } / Double(windows.count)
    }

    /// The hash of all that decides the refined weights: the models, the text, the steps and the seed.
    private func key(_ config: ModelConfig, _ start: [RefinedMatrix], _ steps: Int, _ store: ConversionStore) throws -> String {
        var parts = [store.parent, try CanonicalJSON.text(of: config), "distilled in \(steps) steps, seed \(seed)"]
        parts += calibration.windows.map { "\($0)" }
        for matrix in start {
            let digest = unsafe matrix.weight.withUnsafeBytes { unsafe SHA256Digest(of: $0).hex }
            parts.append("\(matrix.name) \(digest)")
        }
        return String(SHA256Digest(of: parts.joined(separator: "\n")).hex.prefix(16))
    }
}

extension Refinement {
    /// The windows of each step, and those held out.
    private struct Plan {
        /// The last windows of the text: a thirty-second part, at least one.
        let heldOut: [[Int32]]
        /// The other windows, in a new order in each pass.
        let steps: [[[Int32]]]

        /// The most tokens of a step.
        private static let mostStepTokens = 512
        /// The fewest steps of a pass, where the text has as many windows.
        private static let leastPassSteps = 16

        init(_ calibration: Calibration, passes: Int, seed: UInt64) {
            let windows = calibration.windows
            heldOut = windows.suffix(max(1, windows.count / 32))
            let taught = windows.dropLast(heldOut.count)
            let rows = max(1, min(Self.mostStepTokens / calibration.seq, taught.count / Self.leastPassSteps))
            var generator = SeededGenerator(seed: seed, name: "refinement")
            let order = (0..<passes).flatMap { _ in taught.indices.shuffled(using: &generator) }
            steps = (0..<order.count / rows).map { step in order[step * rows..<(step + 1) * rows].map { windows[$0] } }
        }
    }
}

/// An attention matrix in refinement, with the optimizer's moments.
struct RefinedMatrix: Sendable {
    /// The matrix's name.
    let name: String
    /// Its dimensions, [out, in].
    let shape: [Int]
    /// Its values, updated in place.
    let values: Storage
    /// The first moment.
    let first: Storage
    /// The second moment.
    let second: Storage

    /// The matrix `name` before the first step, with a copy of the values `start`.
    init(name: String, shape: [Int], start: Storage) {
        (self.name, self.shape, values) = (name, shape, Storage(copying: start.array()))
        (first, second) = (Storage(repeating: 0, count: start.count), Storage(repeating: 0, count: start.count))
    }

    /// The matrix with the values and moments of a kept state.
    init(name: String, shape: [Int], values: Storage, first: Storage, second: Storage) {
        (self.name, self.shape, self.values, self.first, self.second) = (name, shape, values, first, second)
    }

    /// A constant with the present values.
    var tensor: Tensor { Tensor(shape: Shape(shape), storage: values) }

    /// The present values as a weight.
    var weight: Weight { Weight(shape: shape, storage: values) }
}
