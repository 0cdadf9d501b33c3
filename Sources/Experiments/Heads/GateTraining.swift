import Autograd
import Evaluation
import Inference
import Kernels
import Models
import Random
import Text
import Training

/// The training of gates that tell the heads that need every slot (Xiao et al. 2024, "DuoAttention", section 2.2).
///
/// Each KV head has a gate α from 0 to 1, first 1, with which its attention is mixed of whole and streaming attention (``HeadGates``). Of
/// sequences with passkeys and questions about them the loss is
///
///     mean over the answers' tokens and the hidden size of (hidden of whole attention − hidden of mixed attention)² + λ · mean of the gates
///
/// hidden states being those after the last norm. The weights stay as they are. λ = 0.05, AdamW at 0.02 with a fifth of the steps of
/// warming up and of cooling down, both from a tenth, and the means are those of the authors' code; the paper writes sums. Their
/// passkeys are 32 words of an alphabet; these are numbers, ten in a sequence.
public struct GateTraining: Sendable {
    /// Steps of a sequence each; the authors' are 2,000.
    public var steps = 200
    /// Tokens of a sequence at most; lengths rise to it in equal steps from half, again and again.
    public var length: Int
    /// Passkeys in a sequence.
    public var passkeys = 10
    /// First tokens and newest tokens that a streaming head sees, the authors'.
    public var sinks = 128, recent = 256
    /// Weight of the gates' mean in the loss.
    public var regularization = 0.05
    /// The highest learning rate.
    public var learningRate = 0.02

    /// Tokens of a sequence at most, unless said otherwise.
    public static let length = 2048

    /// Training on sequences of `length` tokens.
    public init(length: Int) { self.length = length }

    /// Lengths and numbers of passkeys that tell no heads apart.
    public enum Fault: Error, CustomStringConvertible, Equatable {
        /// Sequences show hardly more than streaming heads see.
        case short(length: Int, least: Int, sinks: Int, recent: Int)
        /// No answer is within a sequence.
        case noAnswer(length: Int, passkeys: Int)

        /// The sentence for the user.
        public var description: String {
            switch self {
            case .short(let length, let least, let sinks, let recent):
                "sequences of \(length) tokens show little that \(sinks) sinks and the newest \(recent) tokens do not, expected at least "
                    + "\(least); lower --kv-sinks and --kv-recent, or raise --length"
            case .noAnswer(let length, let passkeys):
                "\(passkeys) passkeys and questions about them take more than \(length) tokens; lower --passkeys or raise --length"
            }
        }
    }

    /// A sequence, and the rows of its answers' tokens.
    struct Sequence {
        var tokens: [Int32]
        var answers: [Int]
    }

    /// The rates of the steps.
    func rate(_ step: Int) -> Double {
        let part = Double(max(1, steps / 5))
        return learningRate * min(1, max(Double(step + 1) / part, 0.1), max(Double(steps - step) / part, 0.1))
    }

    /// Throws ``Fault`` where sequences show hardly more than streaming heads see.
    func check() throws(Fault) {
        let least = sinks + recent + 2
        guard length / 2 >= least else {
            throw .short(length: length, least: 2 * least, sinks: sinks, recent: recent)
        }
    }

    /// The gates of `model` by layer with a whole cache and KV head, found on sequences in the text of `recall`.
    ///
    /// Throws ``Fault``, and what `progress` throws; it is told each step's distance and gates' mean.
    public func gates(
        of model: LoadedModel, _ recall: RecallDocuments,
        progress: (_ step: Int, _ distance: Double, _ mean: Double) throws -> Void
    ) throws -> [[Double]] {
        try check()
        var parameters = Parameters()
        for (layer, kvHeads) in HeadGates.layers(of: model.model.config) {
            parameters["gate.\(layer)"] = Weight(shape: [kvHeads], storage: Storage(repeating: 1, count: kvHeads))
        }
        var weights = TrainableWeights(parameters)
        var optimizer = AdamW(AdamW.Settings(beta2: 0.999, weightDecay: 0), weights: weights)
        for step in 0..<steps {
            let sequence = sequence(step, model, recall)
            guard !sequence.answers.isEmpty else { throw Fault.noAnswer(length: length, passkeys: passkeys) }
            let gates = weights.entries.map { Tensor.variable(Tensor(shape: Shape($0.shape), storage: $0.storage)) }
            let (loss, distance) = loss(model.model, sequence, gates)
            let gradients = loss.gradients()
            let named = zip(weights.entries, gates).compactMap { entry, gate in
                gradients[gate].map { (entry.name, $0.storage) }
            }
            optimizer.update(weights, Dictionary(uniqueKeysWithValues: named), learningRate: rate(step), scale: 1)
            for entry in weights.entries {
                parameters[entry.name] = Weight(
                    shape: entry.shape, storage: Storage(copying: entry.storage.array().map { min(1, max(0, $0)) }))
            }
            weights = TrainableWeights(parameters)
            let all = weights.entries.flatMap { $0.storage.array() }
            try progress(step + 1, distance, Double(all.reduce(0, +)) / Double(all.count))
        }
        return weights.entries.map { $0.storage.array().map { Double($0) } }
    }

    /// The loss of `gates` on a sequence, and the first summand alone.
    func loss(_ model: DecoderLM, _ sequence: Sequence, _ gates: [Tensor]) -> (loss: Tensor, distance: Double) {
        var input = ModelInput(batch: 1, seq: sequence.tokens.count, tokens: sequence.tokens)
        let whole = model.states(input, keepsBlocks: false).final
        input.gates = HeadGates(model.config, gates, sinks: sinks, recent: recent)
        let mixed = model.states(input, keepsBlocks: false).final
        let answers = Set(sequence.answers)
        let mask = Tensor((0..<sequence.tokens.count).map { answers.contains($0) ? 1 : 0 }, shape: [sequence.tokens.count, 1])
        let apart = (mixed - whole) * mask
        let distance = (apart * apart).sum() * (1 / Float(sequence.answers.count * model.config.hiddenSize))
        let count = gates.reduce(0) { $0 + $1.shape.count }
        let mean = Tensor.concat(gates, axis: 0).sum() * (Float(regularization) / Float(count))
        return (distance + mean, Double(distance.scalar))
    }

    /// The sequence of a step: passkeys in a text, then questions about them and their answers.
    func sequence(_ step: Int, _ model: some ModelText, _ recall: RecallDocuments) -> Sequence {
        let (least, parts) = (length / 2, 8)
        let aim = least + (length - least) * (step % parts + 1) / parts
        // Characters for the tokens: as many as fit, found by trying.
        var characters = 6 * aim
        while true {
            let document = recall.passkeys(number: step, characters: characters, count: passkeys)
            var found = Sequence(
                tokens: (model.bosID.map { [$0] } ?? []) + model.tokenizer.encode(document.context), answers: [])
            for (question, answer) in document.answers {
                found.tokens += model.tokenizer.encode(question)
                let answer = model.tokenizer.encode(answer)
                found.answers += found.tokens.count..<found.tokens.count + answer.count
                found.tokens += answer
            }
            // Passkeys and questions alone may be longer than the sequence: tokens beyond its length are cut, answers too.
            guard found.tokens.count > aim, characters > aim / 4 else {
                found.answers.removeAll { $0 >= length }
                found.tokens = Array(found.tokens.prefix(length))
                return found
            }
            characters = min(characters - 1, characters * aim / found.tokens.count)
        }
    }
}
