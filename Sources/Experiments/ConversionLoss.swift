import Checkpoints
import Evaluation
import Foundation
import Inference
import Models
import Random
import Text

/// A text to calibrate a conversion on, its end held out to measure the conversion's loss.
public struct CalibrationText: Sendable {
    /// The calibration text, before the held-out part.
    public var calibration: String
    /// The end; nil where the text is too short to spare one.
    public var heldOut: String?

    /// Bytes held out at most: a tenth of the text.
    private static let mostBytes = 65_536
    /// Bytes read at most: far more than any calibration takes.
    private static let mostText = 64 << 20
    /// Bytes below which a loss says nothing.
    private static let leastBytes = 512

    /// `text` cut before a word, a tenth of it or 64 KiB from its end.
    public init(_ text: String) {
        let bytes = text.utf8.count
        let tail = min(Self.mostBytes, bytes / 10)
        let spaces: Set<UInt8> = [0x20, 0x0A]
        guard tail >= Self.leastBytes,
            let cut = text.utf8.index(text.startIndex, offsetBy: bytes - tail, limitedBy: text.endIndex),
            let place = text.utf8[cut...].firstIndex(where: spaces.contains)
        else {
            calibration = text
            return
        }
        calibration = String(decoding: text.utf8[..<place], as: UTF8.self)
        heldOut = String(decoding: text.utf8[text.utf8.index(after: place)...], as: UTF8.self)
    }

    /// The documents of `corpus` on lines of their own, as much of their beginning as ``init(_:)`` takes at most.
    public init(_ corpus: Corpus) {
        var (text, bytes) = ([String](), 0)
        for document in corpus.documents where bytes < Self.mostText {
            text.append(corpus.text(document, upTo: Self.mostText - bytes))
            bytes += text[text.count - 1].utf8.count + 1
        }
        self.init(text.joined(separator: "\n"))
    }

    /// The whole text for calibration.
    public mutating func giveBack() {
        guard let heldOut else { return }
        calibration += "\n" + heldOut
        self.heldOut = nil
    }
}

/// The loss of a conversion before any training.
public struct ConversionLoss: Sendable, Encodable {
    /// The text of the measurement.
    public enum Source: String, Sendable, Encodable {
        /// Text that the conversion did not see.
        case heldOut
        /// Text that the parent wrote, for want of any other.
        case samples
    }

    /// The text of the measurement.
    public var source: Source
    /// Tokens scored.
    public var tokens: Int
    /// The parent's cross-entropy, nats a token.
    public var parentNats: Double
    /// The child's.
    public var childNats: Double
    /// The parent's bits per byte; nil for samples.
    public var parentBitsPerByte: Double?
    /// The child's.
    public var childBitsPerByte: Double?

    /// Cross-entropy lost, in percent of the parent's.
    public var percent: Double { 100 * (childNats / max(parentNats, 1e-9) - 1) }

    /// The loss of `child` on held-out `text`, in windows of 256 tokens or the model's positions.
    public static func heldOut(
        _ text: String, parent: Checkpoint, child: Checkpoint, path: String, reporter: ProgressReporter
    ) throws -> ConversionLoss {
        let comparison = Comparison(window: min(256, parent.config.maxSequence))
        let results = try [("parent", parent), ("child", child)].map { name, checkpoint in
            try comparison.score(
                LoadedModel(name: name, checkpoint: checkpoint, path: path), EvaluationText(text), reporter: reporter)
        }
        func nats(_ result: PerplexityResult) -> Double { result.nll / Double(max(result.tokensScored, 1)) }
        return ConversionLoss(
            source: .heldOut, tokens: results[0].tokensScored, parentNats: nats(results[0]), childNats: nats(results[1]),
            parentBitsPerByte: results[0].bitsPerByte, childBitsPerByte: results[1].bitsPerByte)
    }

    /// The losses of `children` on 256 tokens that `parent` draws at temperature 1: its own loss there is its entropy, a child's is more
    /// by their divergence.
    public static func onSamples(parent: Checkpoint, children: [Checkpoint], seed: UInt64 = 0) throws -> [ConversionLoss] {
        let length = min(64, parent.config.maxSequence - 1)
        guard length > 0 else { return [] }
        let start = parent.tokenIDs.bos ?? parent.tokenIDs.eos.first ?? 0
        let generator = Generator(
            model: try ServingModel(config: parent.config, parameters: parent.parameters), sampler: Sampler(temperature: 1),
            stops: [])
        let texts = (0..<4).map { number in
            var random = SeededGenerator(seed: seed, stream: 0x5B, UInt64(number))
            return [start] + generator.continuation(of: [start], count: length, generator: &random)
        }
        let count = texts.reduce(0) { $0 + $1.count - 1 }
        func nats(_ checkpoint: Checkpoint) throws -> Double {
            let model = try DecoderLM(widening: checkpoint.parameters, config: checkpoint.config)
            let losses = texts.map { ids in
                model.losses(
                    ModelInput(batch: 1, seq: ids.count - 1, tokens: Array(ids.dropLast())), targets: Array(ids.dropFirst()))
            }
            return losses.joined().reduce(0) { $0 + Double($1) } / Double(max(count, 1))
        }
        let own = try nats(parent)
        return try children.map {
            ConversionLoss(source: .samples, tokens: count, parentNats: own, childNats: try nats($0))
        }
    }

    /// The loss for people, one line.
    public var text: String {
        let change = String(format: "%+.1f %%", percent)
        switch source {
        case .heldOut:
            return String(
                format:
                    "held-out loss: %.4f → %.4f bits per byte (%@), perplexity %.3f → %.3f, on %@ tokens behind the calibration text",
                parentBitsPerByte ?? .nan, childBitsPerByte ?? .nan, change, exp(parentNats), exp(childNats),
                groupedDigits(tokens))
        case .samples:
            return String(
                format: "expected loss: %.3f → %.3f nats a token (%@), on %@ tokens that the parent wrote", parentNats, childNats,
                change, groupedDigits(tokens))
        }
    }

    /// Advice on the next step, one line.
    public var advice: String {
        switch percent {
        case ..<1: "advice: it can be served as it is"
        case ..<30: "advice: uptrain it; 'kvlab lab' on the parent does that and compares"
        default:
            "advice: more than an uptraining soon mends; keep more KV heads or a larger rank, or calibrate on text like the model's own"
        }
    }
}
