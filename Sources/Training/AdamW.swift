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

    /// An optimizer from saved state; nil where a moment is missing or differs in size from its weight.
    public init?(
        _ settings: Settings, weights: TrainableWeights, updates: Int, firstMoments: [String: [Float]],
        secondMoments: [String: [Float]]
    ) {
        self.init(settings, weights: weights)
        self.updates = updates
        for entry in weights.entries {
            guard let m = firstMoments[entry.name], let v = secondMoments[entry.name], m.count == entry.storage.count,
                v.count == m.count
            else { return nil }
            self.firstMoments[entry.name] = Storage(copying: m)
            self.secondMoments[entry.name] = Storage(copying: v)
        }
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
