import Foundation
import Kernels
import Models
import Threads

/// The estimated time and memory of a run, from its shape and a quick measurement of the machine.
public struct RunEstimate {
    /// Floating-point operations of all steps' matrix products, a teacher's included.
    public let flops: Double
    /// Bytes of weights, gradients and optimizer moments, of a step's activations, and of a teacher with both models' logits.
    public let memoryBytes: Int
    /// Seconds at `share` of the measured matrix-product peak.
    public let seconds: Double
    private let prepared: PreparedRun
    /// The share of the peak that a step is assumed to reach.
    private static let share = 0.6

    /// Measures the machine for some tenths of a second.
    public init(_ prepared: PreparedRun) throws {
        self.prepared = prepared
        let config = prepared.config
        let tokensPerStep = prepared.plan.batch * prepared.sequenceLength
        let teacher = prepared.plan.distillation?.teacher.config
        flops =
            Self.flopsPerToken(config, teacher: teacher, seq: prepared.sequenceLength)
            * Double(tokensPerStep * prepared.plan.steps)
        // Kept for the backward pass, a token and layer: two residual streams, projections, attention's output, gate and up.
        let kept = (0..<config.layers).reduce(0) { sum, layer in
            sum + 2 * config.hiddenSize + (2 * config.heads[layer] + 2 * config.kvHeads[layer]) * config.headDim[layer]
                + 2 * config.feedForwardSize
        }
        let tokens = tokensPerStep / prepared.plan.accumulation
        // The teacher's weights, both models' logits and their gradient; without a teacher the logits never exist whole.
        let teaching = teacher.map { 4 * $0.parameterCount + 12 * $0.vocabularySize * tokens } ?? 0
        memoryBytes = 16 * config.parameterCount + 4 * kept * tokens + teaching
        seconds = flops / (Self.share * PeakMeasurement.gemmFlopsPerSecond())
    }

    /// The floating-point operations of a training step for each token: forward and backward of the model, forward of a teacher.
    static func flopsPerToken(_ config: ModelConfig, teacher: ModelConfig?, seq: Int) -> Double {
        6 * config.matrixParametersPerToken(seq: seq) + 2 * (teacher?.matrixParametersPerToken(seq: seq) ?? 0)
    }

    /// For people.
    public var text: String {
        let config = prepared.config
        return """
            parameters       \(config.parameterCount)
            vocabulary       \(config.vocabularySize)
            attention        \(config.attentionLabel)
            KV bytes/token   \(config.kvBytesPerToken(.float16)) in fp16
            steps            \(prepared.plan.steps) of \(prepared.plan.batch)×\(prepared.sequenceLength) tokens
            FLOPs            \(String(format: "%.3g", flops))\(prepared.plan.distillation == nil ? "" : ", the teacher's included")
            memory           about \(byteCountText(memoryBytes))
            estimated time   about \(ProgressReporter.duration(seconds)) on \(Parallel.threads) threads
            """
    }
}
