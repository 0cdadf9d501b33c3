import Checkpoints
import Conversion
import Files
import Foundation
import JSON
import Kernels
import Models
import Recipes
import Text

/// A lab over a given checkpoint, described by a few choices in place of a recipe.
public struct CheckpointLab: Sendable {
    /// The model, in any format that is read.
    public var checkpoint: String
    /// KV heads of the children; a latent child gets the cache bytes of each.
    public var kvHeads: [Int]
    /// Merges of heads, and `mla`.
    public var methods: [String]
    /// Texts to train on and, their last part, to score.
    public var texts: [TextSource]
    /// Tokens of each uptraining, at most where `minutes` says so.
    public var uptrainTokens: Int
    /// Minutes that all is to take by estimate; nil for no limit.
    public var minutes: Double?
    /// Share of the loss that is the divergence from the parent's predictions; 0 for none.
    public var distillWeight = 0.9
    /// Peak learning rate; nil: the parent's, or ``defaultLearningRate`` for one that doesn't say how it was trained.
    public var learningRate: Double?
    /// Sequences in a step; nil: the parent's, or ``defaultBatch``.
    public var batch: Int?
    /// Tokens in a sequence; nil: the parent's, or ``defaultSequence`` or all positions of the model.
    public var seq: Int?

    /// Peak learning rate for a parent that doesn't say how it was trained.
    public static let defaultLearningRate = 5e-4
    /// Sequences in a step for such a parent.
    public static let defaultBatch = 8
    /// Tokens in a sequence for such a parent.
    public static let defaultSequence = 512
    /// Bytes of text that models are scored on at most: enough to tell a percent apart, a small part of an uptraining's time.
    private static let heldOutBytes = 65_536
    /// Bytes of activations that a part of a training step holds at most, where a batch can be cut so far.
    private static let mostActivationBytes = 1 << 30
    /// The share of the minutes that the estimated work may take: the cost of a token differs between texts, the load between
    /// machines.
    private static let share = 0.9

    /// A lab over `checkpoint` with children of each number of KV heads by each method.
    public init(checkpoint: String, kvHeads: [Int], methods: [String], texts: [TextSource], uptrainTokens: Int) {
        (self.checkpoint, self.kvHeads, self.methods) = (checkpoint, kvHeads, methods)
        (self.texts, self.uptrainTokens) = (texts, uptrainTokens)
    }

    /// Whether `path` holds a model and no recipe: a folder, or a file with a NUL byte near its beginning, which no JSON text has.
    public static func isModel(_ path: String) -> Bool {
        if FolderListing.isFolder(path) { return true }
        guard let file = try? MappedFile(path: path) else { return false }
        return (try? file.bytes(in: 0..<min(64, file.count)))?.contains(0) == true
    }

    /// The recipe as JSON, every default filled in; it loads like one that was written by hand.
    ///
    /// Reads the model and, for a limit in minutes, times a training step of it. Throws ``RecipeError`` or ``ExperimentError`` for
    /// impossible choices.
    public func recipe() throws -> String {
        let model = try ModelImport.load(checkpoint)
        let training = model.lineage.training
        let seq = self.seq ?? training?.seq ?? min(Self.defaultSequence, model.config.maxSequence)
        let batch = self.batch ?? training?.batch ?? Self.defaultBatch
        let bytes = try Corpus(
            texts, chats: { () throws(ChatFault) in try ChatTemplateRenderer(of: model, path: checkpoint) }
        ).byteCount
        // No text is long enough for a smaller share to be of use.
        let fraction = min(0.05, max(0.0001, Double(Self.heldOutBytes) / Double(max(bytes, 1))))
        let children = try self.children(model.config)
        let accumulation = self.accumulation(model.config, batch: batch, seq: seq)
        var tokens = uptrainTokens
        if let minutes {
            guard seq <= model.config.maxSequence else {
                throw ExperimentError.window(seq, model: checkpoint, limit: model.config.maxSequence)
            }
            let cost = Cost(config: model.config, children: children.count, seq: seq, learns: distillWeight > 0)
            let scored = Int(fraction * Double(bytes)) / 3
            let probe = StepProbe(
                checkpoint: model, batch: batch / (accumulation ?? 1), seq: seq, compute: ComputeOptions(precision: .bf16),
                isDistilled: distillWeight > 0)
            let fitting = cost.tokens(in: 60 * minutes * Self.share * (try probe.flopsPerSecond()), scored: scored)
            guard fitting >= batch * seq else {
                throw ExperimentError.budget(minutes: minutes, tokens: batch * seq)
            }
            tokens = min(tokens, fitting)
        }
        let steps = UptrainLength.steps(tokens: tokens, stepTokens: batch * seq)
        let isKnown = training != nil
        func number(_ value: (some Numeric)?) -> JSONValue { value.map { .number("\($0)") } ?? .null }
        // All other keys are defaults, as null is.
        let draft = JSONValue.object([
            "name": .text(Self.name(checkpoint)),
            "data": .object([
                "files": try JSONValue(parsing: Array(CanonicalJSON.text(of: texts).utf8)),
                "validation": .object(["fraction": number(fraction)]),
            ]),
            "init": .object(["checkpoint": .text(checkpoint)]),
            "train": .object([
                "dtype": .text("bf16"), "warmupSteps": number(isKnown ? nil : steps / 20), "accumulation": number(accumulation),
            ]),
            "lab": .object([
                "children": .array(children), "tokens": number(tokens), "batch": number(self.batch ?? (isKnown ? nil : batch)),
                "seq": number(self.seq ?? (isKnown ? nil : seq)),
                "learningRate": number(learningRate ?? (isKnown ? nil : Self.defaultLearningRate)),
                "distill": distillWeight > 0 ? .object(["weight": number(distillWeight)]) : .null,
                "evaluation": .object(["window": number(seq)]),
            ]),
        ])
        return try Recipe.parse(draft.indented, name: "the lab of \(checkpoint)").resolvedJSON + "\n"
    }

    /// The fewest equal parts of a batch whose activations are not too many; nil for one part.
    private func accumulation(_ config: ModelConfig, batch: Int, seq: Int) -> Int? {
        let sequence = 4 * seq * (0..<config.layers).reduce(0) { $0 + config.activationsPerToken(layer: $1) }
        let parts = (1...batch).first { batch % $0 == 0 && batch / $0 * sequence <= Self.mostActivationBytes } ?? batch
        return parts > 1 ? parts : nil
    }

    /// Each number of KV heads by each method, a latent of as many cache bytes for `mla`.
    private func children(_ config: ModelConfig) throws -> [JSONValue] {
        try kvHeads.flatMap { heads in
            try methods.map { method in
                if method == LatentDesign.name {
                    var shared = config
                    shared.kvHeads = .all(heads)
                    let rank = try LatentMethod().rank(
                        bytesPerToken: shared.kvBytesPerToken(.float16), .float16, config)
                    return .object(["attention": .object(["kind": .text(method), "rank": .int(rank)])])
                }
                guard ConversionMethods.merges.contains(where: { $0.name == method }) else {
                    guard ConversionMethods.named(method) == nil else {
                        throw ExperimentError.methodWithSettings(method)
                    }
                    throw ConversionError.unknownMethod(method)
                }
                return .object(["kvHeads": .int(heads), "method": .text(method)])
            }
        }
    }

    /// The model's name for the lab's folder.
    public static func name(_ checkpoint: String) -> String { SweepParent.name(checkpoint) }
}

extension CheckpointLab {
    /// Floating-point operations of a lab's parts.
    private struct Cost {
        let config: ModelConfig
        let children: Int
        let seq: Int
        let learns: Bool

        /// Tokens of each uptraining that are left of `flops` after the conversions and the scores on `scored` tokens.
        func tokens(in flops: Double, scored: Int) -> Int {
            let forward = 2 * config.matrixParametersPerToken(seq: seq)
            // Beside the refinement, passes of parent and child over the calibration text.
            let conversion = Converter.refinementWork(config) + 4 * forward * Double(Calibration.defaultTokens)
            // Two models a child and one control, each scored and compared with the parent.
            let scores = forward * Double(scored) * (1 + 3 * Double(2 * children + 1))
            let training = forward * (3 * Double(children + 1) + (learns ? Double(children) : 0))
            return max(0, Int((flops - Double(children) * conversion - scores) / training))
        }
    }
}
