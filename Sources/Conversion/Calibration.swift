import Autograd
import Kernels
import Models
import Text

/// Calibration text, cut into windows: the parent's activations over it guide a conversion.
public struct Calibration: Sendable {
    /// Windows of one length, batch by batch.
    public let batches: [ModelInput]

    /// Number of tokens.
    public var tokens: Int { batches.reduce(0) { $0 + $1.tokens.count } }

    /// The length of windows, unless the model has fewer positions.
    private static let longestWindow = 256

    /// The length of a calibration's windows for a model of `config`.
    static func window(of config: ModelConfig) -> Int { min(longestWindow, config.maxSequence) }

    /// The length of the windows.
    var seq: Int { batches[0].seq }

    /// The windows one by one.
    var windows: [[Int32]] {
        batches.flatMap { batch in
            (0..<batch.batch).map { Array(batch.tokens[$0 * batch.seq..<($0 + 1) * batch.seq]) }
        }
    }

    /// The least number of tokens for calibration.
    public static let leastTokens = 2048
    /// The number of tokens used by default, of texts that have as many.
    public static let defaultTokens = 32_768

    /// The first `tokens` ids in windows of at most 256, each after a BOS if the tokenizer has one; nil takes up to
    /// ``defaultTokens``.
    ///
    /// Throws ``ConversionError/calibrationTooShort(found:needed:)`` if `ids` has fewer than `tokens` or ``leastTokens``.
    public init(ids: [Int32], tokens: Int? = nil, bosID: Int32? = nil, maxSequence: Int) throws(ConversionError) {
        let needed = max(tokens ?? Self.leastTokens, Self.leastTokens)
        guard ids.count >= needed else { throw .calibrationTooShort(found: ids.count, needed: needed) }
        let window = min(Self.longestWindow, maxSequence)
        let start = bosID.map { [$0] } ?? []
        let step = max(1, window - start.count)
        let windows = max(1, min(tokens ?? Self.defaultTokens, ids.count) / step)
        let perBatch = max(1, 2048 / window)
        batches = stride(from: 0, to: windows, by: perBatch).map { first in
            let rows = first..<min(first + perBatch, windows)
            return ModelInput(
                batch: rows.count, seq: start.count + step,
                tokens: rows.flatMap { start + ids[$0 * step..<($0 + 1) * step] })
        }
    }

    /// The second moment E[x xᵀ] of the input x of each layer's projections, [hidden, hidden]; with biases x ends with a 1,
    /// [hidden + 1, hidden + 1].
    func moments(_ model: DecoderLM) -> [DenseMatrix] {
        crossMoments(model, sources: Array(0..<model.config.layers))
    }

    /// The cross-moment E[x sᵀ] of the inputs of each layer's projections, x, and of its source layer's, s, [hidden, hidden] or
    /// one more each. Precondition: `sources` names no later layer.
    func crossMoments(_ model: DecoderLM, sources: [Int]) -> [DenseMatrix] {
        let width = model.config.hiddenSize
        let hasBias = model.config.hasQueryKeyValueBias == true
        let side = width + (hasBias ? 1 : 0)
        var sums = sources.map { _ in DenseMatrix(rows: side, columns: side) }
        let product = Storage(count: width * width)
        for input in batches {
            var x = model.embedded(input)
            var reads: [Tensor] = []
            for (layer, source) in sources.enumerated() {
                reads.append(model.attentionInput(x, layer: layer))
                let (own, other) = (reads[layer], reads[source])
                MatMul.multiply(
                    Matrix(own.storage, rows: input.tokens.count, columns: width).transpose,
                    Matrix(other.storage, rows: input.tokens.count, columns: width),
                    into: Matrix(product, rows: width, columns: width))
                for (index, value) in product.array().enumerated() {
                    sums[layer].values[index / width * side + index % width] += Double(value)
                }
                if hasBias {
                    for (index, value) in own.values.enumerated() { sums[layer][index % width, width] += Double(value) }
                    for (index, value) in other.values.enumerated() { sums[layer][width, index % width] += Double(value) }
                    sums[layer][width, width] += Double(input.tokens.count)
                }
                x = model.blocks(layer..<layer + 1, x, input)[0]
            }
        }
        return sums.map { $0.scaled(by: 1 / Double(tokens)) }
    }
}
