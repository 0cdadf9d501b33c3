import CKernels
import Glibc
import Threads

/// An AdamW update of a whole weight, in one pass over memory (Loshchilov and Hutter 2019).
public enum AdamWKernel {
    /// The hyperparameters of one update.
    public struct Step: Sendable {
        /// The learning rate of this step.
        public var learningRate: Float
        /// Decay of the first moment.
        public var beta1: Float
        /// Decay of the second moment.
        public var beta2: Float
        /// Added to the root of the second moment.
        public var epsilon: Float
        /// Decoupled weight decay.
        public var weightDecay: Float
        /// Number of updates, this one included, for the moments' bias correction.
        public var count: Int
        /// Factor on the gradient: clipping, and the mean over accumulated batches.
        public var gradientScale: Float

        /// The hyperparameters of one update; `count` starts at 1, since at 0 the bias correction divides by 0.
        public init(
            learningRate: Float, beta1: Float, beta2: Float, epsilon: Float, weightDecay: Float, count: Int, gradientScale: Float
        ) {
            self.learningRate = learningRate
            self.beta1 = beta1
            self.beta2 = beta2
            self.epsilon = epsilon
            self.weightDecay = weightDecay
            self.count = count
            self.gradientScale = gradientScale
        }
    }

    /// p ← p·(1 − lr·decay) − lr·m̂/(√v̂ + ε), moments updated in place.
    ///
    /// The exception to "written only by its creator": weights and moments belong to the optimizer, which updates them when no
    /// graph refers to their old values any more.
    public static func update(_ p: Storage, gradient: Storage, m: Storage, v: Storage, _ step: Step) {
        precondition(gradient.count == p.count && m.count == p.count && v.count == p.count, "AdamW: counts differ")
        let settings = kk_adamw(
            learningRate: step.learningRate, beta1: step.beta1, beta2: step.beta2, epsilon: step.epsilon, decay: step.weightDecay,
            correction1: Float(1 - pow(Double(step.beta1), Double(step.count))),
            correction2: Float(1 - pow(Double(step.beta2), Double(step.count))), gradientScale: step.gradientScale)
        Parallel.forRanges(p.count, grain: Elementwise.grain) { range in
            let start = range.lowerBound
            unsafe kernels.adamw(
                p.pointer + start, gradient.pointer + start, m.pointer + start, v.pointer + start, Int64(range.count), settings)
        }
    }
}
