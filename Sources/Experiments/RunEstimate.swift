import Foundation
import Kernels
import Threads

/// What a run will take, from its shape and a quick measurement of the machine.
public struct RunEstimate {
    /// Floating-point operations of all steps' matrix products.
    public let flops: Double
    /// Bytes of weights, gradients and optimizer moments, and of a step's activations.
    public let memoryBytes: Int
    /// Seconds at `share` of the measured matrix-product peak.
    public let seconds: Double
    private let prepared: PreparedRun
    /// What share of the peak a step is assumed to reach.
    private static let share = 0.6

    /// Measures the machine for some tenths of a second.
    public init(_ prepared: PreparedRun) throws {
        self.prepared = prepared
        let config = prepared.config
        let tokensPerStep = prepared.plan.batch * prepared.sequenceLength
        flops = 6 * config.matrixParametersPerToken(seq: prepared.sequenceLength) * Double(tokensPerStep * prepared.plan.steps)
        // Kept for the backward pass, a token and layer: two residual streams, projections, attention's output, gate and up.
        let kept = (0..<config.layers).reduce(0) { sum, layer in
            sum + 2 * config.hiddenSize + (2 * config.heads[layer] + 2 * config.kvHeads[layer]) * config.headDim[layer]
                + 2 * config.feedForwardSize
        }
        memoryBytes = 16 * config.parameterCount + 4 * kept * tokensPerStep / prepared.plan.accumulation
        seconds = flops / (Self.share * PeakMeasurement.gemmFlopsPerSecond())
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
            FLOPs            \(String(format: "%.3g", flops))
            memory           about \(byteCountText(memoryBytes))
            estimated time   about \(ProgressReporter.duration(seconds)) on \(Parallel.threads) threads
            """
    }
}
