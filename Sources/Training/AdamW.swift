import Kernels
import Models

/// AdamW (Loshchilov and Hutter 2019): decoupled weight decay, none on norms and other vectors.
public struct AdamW: Sendable {
    /// Hyperparameters, constant over a run.
    public struct Settings: Sendable, Hashable, Codable {
        /// Decay of the first moment.
        public var beta1: Double
        /// Decay of the second moment.
        public var beta2: Double
        /// Added to the root of the second moment.
        public var epsilon: Double
        /// Decoupled weight decay of matrices.
        public var weightDecay: Double

        /// Hyperparameters; by default LLaMA's betas and decay (Touvron et al. 2023, section 2.3).
        public init(beta1: Double = 0.9, beta2: Double = 0.95, epsilon: Double = 1e-8, weightDecay: Double = 0.1) {
            self.beta1 = beta1
            self.beta2 = beta2
            self.epsilon = epsilon
            self.weightDecay = weightDecay
        }
    }

    /// The hyperparameters.
    public let settings: Settings
    /// Number of updates so far.
    public private(set) var updates: Int
    /// First moments by weight name.
    public private(set) var firstMoments: [String: Storage]
    /// Second moments by weight name.
    public private(set) var secondMoments: [String: Storage]

    /// An optimizer for `weights` with zero moments.
    public init(_ settings: Settings, weights: TrainableWeights) {
        self.settings = settings
        updates = 0
        func zeros() -> [String: Storage] {
            Dictionary(uniqueKeysWithValues: weights.entries.map { ($0.name, Storage(repeating: 0, count: $0.storage.count)) })
        }
        firstMoments = zeros()
        secondMoments = zeros()
    }

    /// An optimizer from copies of saved moments; nil where one is missing or differs in size from its weight.
    public init?(
        _ settings: Settings, weights: TrainableWeights, updates: Int, firstMoments: [String: Storage],
        secondMoments: [String: Storage]
    ) {
        self.settings = settings
        self.updates = updates
        func copies(_ moments: [String: Storage]) -> [String: Storage]? {
            var copies: [String: Storage] = [:]
            for entry in weights.entries {
                guard let moment = moments[entry.name], moment.count == entry.storage.count else { return nil }
                copies[entry.name] = Storage(copying: moment.array())
            }
            return copies
        }
        guard let first = copies(firstMoments), let second = copies(secondMoments) else { return nil }
        (self.firstMoments, self.secondMoments) = (first, second)
    }

    /// Updates every weight once; `scale` multiplies the gradients (clipping).
    public mutating func update(_ weights: TrainableWeights, _ gradients: [String: Storage], learningRate: Double, scale: Double)
    {
        updates += 1
        for entry in weights.entries {
            guard let gradient = gradients[entry.name], let m = firstMoments[entry.name], let v = secondMoments[entry.name] else {
                continue
            }
            AdamWKernel.update(
                entry.storage, gradient: gradient, m: m, v: v,
                AdamWKernel.Step(
                    learningRate: Float(learningRate), beta1: Float(settings.beta1), beta2: Float(settings.beta2),
                    epsilon: Float(settings.epsilon), weightDecay: entry.shape.count > 1 ? Float(settings.weightDecay) : 0,
                    count: updates, gradientScale: Float(scale)))
        }
    }
}
