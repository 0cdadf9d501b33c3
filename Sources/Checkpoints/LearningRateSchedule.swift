import Glibc

/// A learning-rate schedule: linear warm-up, then a shape.
///
/// Step s counts from 0. Warm-up has the rate peak·(s + 1)/warmupSteps, so that no step has rate 0; after it the progress
/// p = (s − warmupSteps)/(steps − warmupSteps) runs from 0 towards 1.
public struct LearningRateSchedule: Sendable, Hashable, Codable {
    /// The shape of the schedule after the warm-up.
    public enum Shape: String, Sendable, Codable, CaseIterable {
        /// Cosine: final + (peak − final)·(1 + cos πp)/2 (Loshchilov and Hutter 2017, SGDR, without restarts).
        case cosine
        /// Linear: peak + (final − peak)·p.
        case linear
        /// Warmup-stable-decay (Hu et al. 2024, MiniCPM): peak until the last `decayFraction` of all steps, then linear to
        /// final.
        case wsd
        /// Constant: peak.
        case constant
    }

    /// The shape after the warm-up.
    public var shape: Shape
    /// The peak rate.
    public var peak: Double
    /// The final rate, which the last step approaches.
    public var final: Double
    /// Number of warm-up steps.
    public var warmupSteps: Int
    /// Number of steps.
    public var steps: Int
    /// The share of all steps that `wsd` decays over.
    public var decayFraction: Double

    /// A schedule over `steps` steps; by default without warm-up and down to 0, `wsd` over the last fifth.
    public init(shape: Shape, peak: Double, final: Double = 0, warmupSteps: Int = 0, steps: Int, decayFraction: Double = 0.2) {
        self.shape = shape
        self.peak = peak
        self.final = final
        self.warmupSteps = warmupSteps
        self.steps = steps
        self.decayFraction = decayFraction
    }

    /// The rate of step `step`, counted from 0; past the last step the final rate.
    public func rate(_ step: Int) -> Double {
        if step < warmupSteps { return peak * Double(step + 1) / Double(warmupSteps) }
        let progress = min(1, Double(step - warmupSteps) / Double(max(1, steps - warmupSteps)))
        switch shape {
        case .cosine: return final + (peak - final) * (1 + cos(.pi * progress)) / 2
        case .linear: return peak + (final - peak) * progress
        case .wsd:
            let decaySteps = (Double(steps) * decayFraction).rounded()
            let into = Double(step) - (Double(steps) - decaySteps)
            return into <= 0 || decaySteps == 0 ? peak : peak + (final - peak) * min(1, into / decaySteps)
        case .constant: return peak
        }
    }

    /// The schedule rescaled to `steps` steps, warm-up in proportion (at least one step if there was any).
    public func rescaled(to steps: Int) -> LearningRateSchedule {
        var copy = self
        copy.steps = steps
        let warmup = (Double(warmupSteps) * Double(steps) / Double(max(self.steps, 1))).rounded()
        copy.warmupSteps = warmupSteps == 0 ? 0 : min(steps, max(1, Int(warmup)))
        return copy
    }
}
