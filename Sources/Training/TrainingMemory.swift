import Kernels
import Models

/// The memory that a training run's tensors take at their peak, in bytes, from the shapes alone.
public struct TrainingMemory: Sendable, Hashable {
    /// Weights and the optimizer's two moments, in Float32.
    public let state: Int
    /// A teacher's weights in Float32; 0 without one.
    public let teacher: Int
    /// All else of a step: activations, gradients, and the temporary memory of the output projection or of one block's backward pass.
    public let step: Int

    /// Bytes in all.
    public var total: Int { state + teacher + step }

    /// The memory of steps whose parts have `tokens` tokens each.
    ///
    /// - Parameters:
    ///   - parts: parts that a step is computed in; from two on the gradients of all weights exist beside a part's activations.
    ///   - teacher: the teacher that the model is distilled from.
    ///   - learnsLayers: whether the distillation compares the layers' outputs too, which keeps both models'.
    ///   - cache: the compressed cache that the model is trained through.
    public init(
        _ config: ModelConfig, tokens: Int, parts: Int = 1, compute: ComputeOptions = ComputeOptions(),
        teacher: ModelConfig? = nil, learnsLayers: Bool = false, cache: CompressedTraining? = nil
    ) {
        let (hidden, vocabulary, precision) = (config.hiddenSize, config.vocabularySize, compute.precision)
        let stored = cache.map { config.kvGeometry($0.encoding) }
        let blocks = (0..<config.layers).map {
            4 * tokens * config.activationsPerToken(layer: $0, through: stored?[$0].encoding)
        }
        let largest = blocks.max() ?? 0
        let row = 4 * tokens * hidden
        // The embedding, and the final norm's output with its gradient.
        var kept = 3 * row
        kept += compute.recompute == .block ? config.layers * row : blocks.reduce(0, +)
        // The teacher's last rows, and where layers are compared its outputs and the distances from them.
        if let teacher { kept += 4 * tokens * teacher.hiddenSize + (learnsLayers ? 2 * config.layers * row : 0) }
        let gradients = 4 * config.parameterCount
        let head = 4 * vocabulary * hidden
        let output = LinearCrossEntropyKernel.scratchBytes(
            rows: tokens, width: hidden, classes: vocabulary, teacherWidth: teacher?.hiddenSize, precision: precision)
        // A block's gradients replace its activations; beside them are the stream's two gradients and the packed input of a product.
        let packed = LinearKernel.packedInputBytes(
            rows: tokens, width: max(hidden, config.feedForwardSize), precision: precision)
        let backward = 2 * row + packed + (compute.recompute == .block ? largest : 0)
        let during = kept + head + max(output, backward)
        state = 3 * gradients
        self.teacher = teacher.map { 4 * $0.parameterCount } ?? 0
        // In one part the weights' gradients come while the activations go.
        step = parts > 1 ? gradients + during : max(during, gradients + backward)
    }

    /// The memory of resuming: the saved weights and moments, and their copies.
    public var loading: Int { 2 * state }
}
