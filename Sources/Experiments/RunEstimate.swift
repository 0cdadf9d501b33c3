import Kernels
import Models
import Threads
import Training

/// The work of a run, from its shapes: the inputs of an estimate of its time and memory.
struct RunShape: Sendable {
    /// The model.
    var config: ModelConfig
    /// The teacher that it is distilled from; nil for none.
    var teacher: ModelConfig?
    /// Whether the distillation compares the layers' outputs too.
    var learnsLayers = false
    /// Optimizer steps.
    var steps: Int
    /// Sequences of a step.
    var batch: Int
    /// Tokens of a sequence.
    var seq: Int
    /// Parts that a step is computed in.
    var accumulation: Int
    /// Precision and activation checkpointing.
    var compute: ComputeOptions
    /// Bytes of the weights that the run starts from, which stay in memory beside its own.
    var startingBytes: Int
    /// The compressed cache that the model is trained through; nil for none.
    var cache: CompressedTraining?

    /// Floating-point operations of a step's matrix products, a teacher's included.
    var flopsPerStep: Double {
        // A policy reads the sequences once more, to their last decision at most.
        let reading = cache?.evicts(config, tokens: seq) == true ? 2 * config.matrixParametersPerToken(seq: seq) : 0
        return Double(batch * seq) * (RunEstimate.flopsPerToken(config, teacher: teacher, seq: seq) + reading)
    }

    /// The memory of the run's tensors.
    var memory: TrainingMemory {
        TrainingMemory(
            config, tokens: batch / accumulation * seq, parts: accumulation, compute: compute, teacher: teacher,
            learnsLayers: learnsLayers, cache: cache)
    }
}

extension RunShape {
    /// The shape of a prepared run.
    init(_ prepared: PreparedRun) {
        let (plan, distillation) = (prepared.plan, prepared.plan.distillation)
        self.init(
            config: prepared.config, teacher: distillation?.teacher.config, learnsLayers: distillation?.hidden ?? 0 > 0,
            steps: plan.steps, batch: plan.batch, seq: prepared.sequenceLength, accumulation: plan.accumulation,
            compute: plan.compute, startingBytes: prepared.parameters.residentBytes, cache: plan.cache)
    }
}

/// The estimated time and memory of a run, from its shapes and a quick measurement of the machine.
public struct RunEstimate: Sendable {
    /// Floating-point operations of all steps' matrix products, a teacher's included.
    public let flops: Double
    /// Floating-point operations of one step.
    public let flopsPerStep: Double
    /// Bytes resident at the peak: weights, optimizer moments, a step's activations and gradients, a teacher, the weights that the run
    /// starts from, and the program.
    public let memoryBytes: Int
    /// The same for a run that is resumed, which holds the saved state beside its own while it reads it.
    public let resumedMemoryBytes: Int
    /// Seconds at ``share`` of the measured matrix-product peak.
    public let seconds: Double
    /// Seconds of one step.
    public let secondsPerStep: Double
    private let shape: RunShape
    /// The share of the machine's matrix-product peak that a step is assumed to reach.
    static let share = 0.6
    /// Bytes of the program and its libraries beside all tensors.
    private static let programBytes = 64 << 20

    /// Measures the machine for some tenths of a second, in the precision of the run.
    public init(_ prepared: PreparedRun) throws {
        let shape = RunShape(prepared)
        self.init(shape, flopsPerSecond: PeakMeasurement.gemmFlopsPerSecond(shape.compute.precision))
    }

    /// An estimate for a machine whose matrix products reach `flopsPerSecond`.
    init(_ shape: RunShape, flopsPerSecond: Double) {
        self.shape = shape
        flopsPerStep = shape.flopsPerStep
        flops = flopsPerStep * Double(shape.steps)
        secondsPerStep = flopsPerStep / (Self.share * flopsPerSecond)
        seconds = secondsPerStep * Double(shape.steps)
        let memory = shape.memory
        let beside = Self.programBytes + shape.startingBytes
        memoryBytes = beside + memory.total
        resumedMemoryBytes = beside + max(memory.total, memory.teacher + memory.loading)
    }

    /// The floating-point operations of a training step for each token: forward and backward of the model, forward of a teacher.
    static func flopsPerToken(_ config: ModelConfig, teacher: ModelConfig?, seq: Int) -> Double {
        6 * config.matrixParametersPerToken(seq: seq) + 2 * (teacher?.matrixParametersPerToken(seq: seq) ?? 0)
    }

    /// For people.
    public var text: String {
        let config = shape.config
        return """
            parameters       \(config.parameterCount)
            vocabulary       \(config.vocabularySize)
            attention        \(config.attentionLabel)
            KV bytes/token   \(config.kvBytesPerToken(.float16)) in fp16
            steps            \(shape.steps) of \(shape.batch)×\(shape.seq) tokens
            FLOPs            \(String(format: "%.3g", flops))\(shape.teacher == nil ? "" : ", the teacher's included"), \
            \(String(format: "%.3g", flopsPerStep)) a step
            memory           about \(byteCountText(memoryBytes)) resident at the peak: \(memoryParts)
            estimated time   about \(ProgressReporter.duration(seconds)) on \(Parallel.threads) threads, \
            \(String(format: "%.2g", secondsPerStep)) s a step
            """
    }

    /// The work in a line, beside the tokens that are trained on.
    var line: String {
        String(format: "%d steps of %d×%d, %.3g FLOPs, ", shape.steps, shape.batch, shape.seq, flops)
            + "about \(byteCountText(memoryBytes)), about \(ProgressReporter.duration(seconds))"
    }

    /// The memory by its parts.
    private var memoryParts: String {
        let memory = shape.memory
        let parts = [
            (memory.state, "weights and moments"), (memory.step, "a step"), (memory.teacher, "the teacher"),
            (shape.startingBytes, "the weights it starts from"), (Self.programBytes, "the program"),
        ].filter { $0.0 > 0 }.map { "\(byteCountText($0.0)) \($0.1)" }
        let resumed = resumedMemoryBytes > memoryBytes ? "; \(byteCountText(resumedMemoryBytes)) while it is resumed" : ""
        return parts.joined(separator: ", ") + resumed
    }
}
