import Autograd
import Kernels
import Models
import Text

/// One optimizer step: forward and backward over each micro-batch, reduction, clipping, update.
public enum TrainingStep {
    /// The result of a step.
    public struct Result: Sendable {
        /// Mean negative log-likelihood in nats over the step's scored tokens.
        public var loss: Double
        /// Global norm of the gradient before clipping.
        public var gradientNorm: Double
    }

    /// The settings of a step beside weights and data.
    public struct Settings: Sendable {
        /// The learning rate of this step.
        public var learningRate: Double
        /// Limit on the gradient's global norm; nil for none.
        public var clip: Double?
        /// Dropout with the step's own seed; nil for none.
        public var dropout: ModelInput.Dropout?
        /// The reduction of gradients over ranks.
        public var reduction: GradientReduction
        /// A model of the same configuration, whose rotary tables are reused.
        public var earlier: DecoderLM?
        /// Precision of the products, and activation checkpointing.
        public var compute = ComputeOptions()
        /// Distillation from a teacher beside the text; nil for none.
        public var distillation: Distillation?
        /// The compressed cache that the model is trained through; nil for none.
        public var cache: CompressedTraining?
        /// The weights to update.
        public var part = TrainableWeights.Part.all

        /// Settings of one step; by default clipped at norm 1, without dropout, in one process. ``earlier``, ``distillation``
        /// and ``cache`` start as nil, ``compute`` as Float32 with nothing recomputed, ``part`` as all weights.
        public init(
            learningRate: Double, clip: Double? = 1, dropout: ModelInput.Dropout? = nil, reduction: GradientReduction = .local
        ) {
            self.learningRate = learningRate
            self.clip = clip
            self.dropout = dropout
            self.reduction = reduction
        }
    }

    /// The loss and gradients of a batch given in micro-batches, equal to those of the whole batch: each part's loss is divided
    /// by the tokens scored over all parts. The loss returned is the negative log-likelihood, without any distillation loss.
    public static func gradients(
        config: ModelConfig, weights: TrainableWeights, parts: [TokenBatch], dropout: ModelInput.Dropout? = nil,
        earlier: DecoderLM? = nil, compute: ComputeOptions = ComputeOptions(), distillation: Distillation? = nil,
        cache: CompressedTraining? = nil, part learning: TrainableWeights.Part = .all
    ) throws -> (loss: Double, gradients: [String: Storage], scoredTokens: Int) {
        let variables = weights.variables(learning)
        var model = try DecoderLM(config: config, tensors: variables, earlier: earlier)
        model.compute = compute
        let scored = parts.reduce(0) { $0 + $1.targets.count { $0 >= 0 } }
        var loss = 0.0
        var gradients = Gradients()
        let plain = parts.map { ModelInput($0) }
        let inputs = try cache?.through(plain, config, weights.parameters) ?? plain
        for (index, part) in parts.enumerated() {
            var input = inputs[index]
            input.dropout = dropout
            input.dropout?.seed &+= UInt64(index) &* 0xA24B_AED4_963E_E407
            if let distillation {
                let (objective, likelihood) = distillation.loss(model, input, targets: part.targets, normalizer: max(scored, 1))
                loss += likelihood
                gradients = objective.gradients(adding: consume gradients)
            } else {
                let partLoss = model.loss(input, targets: part.targets, normalizer: max(scored, 1))
                loss += Double(partLoss.scalar)
                gradients = partLoss.gradients(adding: consume gradients)
            }
        }
        var byName: [String: Storage] = [:]
        for (name, variable) in variables where variable.requiresGradient { byName[name] = gradients[variable]?.storage }
        return (loss, byName, scored)
    }

    /// Runs the step; throws ``TrainingError/notFinite(step:loss:gradientNorm:learningRate:)`` before any weight is updated.
    public static func run(
        config: ModelConfig, weights: TrainableWeights, optimizer: inout AdamW, parts: [TokenBatch], _ settings: Settings
    ) throws -> Result {
        let (loss, gradients, _) = try gradients(
            config: config, weights: weights, parts: parts, dropout: settings.dropout, earlier: settings.earlier,
            compute: settings.compute, distillation: settings.distillation, cache: settings.cache, part: settings.part)
        try settings.reduction.reduce(gradients)
        let norm = GradientClipping.globalNorm(gradients, order: weights.entries.map(\.name).filter { gradients[$0] != nil })
        OpProfile.mark("gradient norm")
        guard loss.isFinite, norm.isFinite else {
            throw TrainingError.notFinite(
                step: optimizer.updates + 1, loss: loss, gradientNorm: norm, learningRate: settings.learningRate)
        }
        optimizer.update(
            weights, gradients, learningRate: settings.learningRate,
            scale: GradientClipping.scale(norm: norm, limit: settings.clip))
        OpProfile.mark("AdamW")
        return Result(loss: loss, gradientNorm: norm)
    }
}

extension ModelInput {
    /// The batch's tokens and masks.
    public init(_ batch: TokenBatch) {
        self.init(batch: batch.batch, seq: batch.seq, tokens: batch.tokens, keyStarts: batch.keyStarts)
    }
}
