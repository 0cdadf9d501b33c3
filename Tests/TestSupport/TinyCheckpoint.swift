import Checkpoints
import Kernels
import Models
import Text

/// A checkpoint of a few hundred weights with every part a checkpoint can have.
public enum TinyCheckpoint {
    public static let config = ModelConfig(
        vocabularySize: 6, hiddenSize: 4, feedForwardSize: 6, layers: 2, heads: .all(2), kvHeads: .each([2, 1]), headDim: .all(2),
        maxSequence: 16, tiedEmbeddings: false)

    public static func parameters(_ config: ModelConfig = config) -> Parameters {
        var parameters = Parameters()
        var next: Float = -3
        for (name, shape) in config.weightShapes {
            let values = (0..<shape.reduce(1, *)).map { _ in
                next += 0.37
                return next
            }
            parameters[name] = Weight(shape: shape, storage: Storage(copying: values))
        }
        return parameters
    }

    public static func make(trained: Bool = true) -> Checkpoint {
        let parameters = parameters()
        var checkpoint = Checkpoint(
            config: config, parameters: parameters,
            tokenizer: SerializedTokenizer(kind: "tokenizer.json", bytes: Array(#"{"model": {}}"#.utf8)),
            tokenIDs: TokenIDs(bos: 1, eos: [2]),
            lineage: Lineage(parentHash: "p", name: "tiny", recipe: #"{"seed": 1}"#, tokensSeen: 640, steps: 10))
        if trained {
            var state = TrainingState(json: #"{"step": 10, "generator": [1, 2, 18446744073709551615]}"#)
            for name in parameters.names {
                state.arrays["m/" + name] = parameters[name]!.float32()
                state.arrays["v/" + name] = Storage(repeating: 0.5, count: parameters[name]!.count)
            }
            state.arrays["loose"] = Storage(copying: [1, .infinity, -0.0])
            state.arrays["none"] = Storage(copying: [])
            checkpoint.trainingState = state
        }
        return checkpoint
    }
}

extension Weight {
    /// The stored bytes.
    public var bytes: [UInt8] { withUnsafeBytes { [UInt8]($0) } }
}
