import Checkpoints
import Evaluation
import Foundation
import Kernels
import Models
import Text

/// A checkpoint loaded for evaluation: model, tokenizer and special tokens.
public struct LoadedModel: Sendable, ModelText {
    /// The file's name without its extension, or the lineage's name for a run's own files.
    public let name: String
    /// The checkpoint as read.
    public let checkpoint: Checkpoint
    /// The model over its weights, which are widened block by block: for evaluating, not for decoding.
    public var model: DecoderLM
    /// The conversion between text and tokens.
    public let tokenizer: any Tokenizer
    /// The special tokens that the checkpoint names.
    public var tokenIDs: TokenIDs { checkpoint.tokenIDs }

    /// Loads a checkpoint, under a `name` of its own if need be; `tokenizerPath` replaces the tokenizer inside it, or stands in for a missing one.
    public init(name: String? = nil, path: String, tokenizerPath: String? = nil) throws {
        let checkpoint = try ModelImport.load(path)
        let file = ModelImport.name(of: path)
        try self.init(
            name: name ?? (["model", "checkpoint"].contains(file) ? checkpoint.lineage.name ?? file : file),
            checkpoint: checkpoint,
            path: path,
            tokenizerPath: tokenizerPath)
    }

    /// From a checkpoint in memory.
    public init(name: String, checkpoint: Checkpoint, path: String, tokenizerPath: String? = nil) throws {
        self.name = name
        self.checkpoint = checkpoint
        tokenizer = try Self.fittingTokenizer(of: checkpoint, path: path, tokenizerPath: tokenizerPath)
        model = try DecoderLM(widening: checkpoint.parameters, config: checkpoint.config)
    }

    /// The tokenizer at `tokenizerPath`, else the checkpoint's own, which must fit the model's vocabulary.
    static func fittingTokenizer(of checkpoint: Checkpoint, path: String, tokenizerPath: String?) throws -> any Tokenizer {
        let tokenizer: any Tokenizer
        if let tokenizerPath {
            tokenizer = try TokenizerFile.load(tokenizerPath)
        } else if let serialized = checkpoint.tokenizer {
            tokenizer = try TokenizerFile.load(serialized, name: path)
        } else {
            throw ExperimentError.noTokenizer(path)
        }
        guard tokenizer.vocabularySize <= checkpoint.config.vocabularySize else {
            throw ExperimentError.vocabulary(path, tokenizer: tokenizer.vocabularySize, model: checkpoint.config.vocabularySize)
        }
        return tokenizer
    }

    /// The policy where `bos` is left to the model: always with a BOS, never without one.
    public func policy(window: Int, stride: Int?, bos: WindowPolicy.BOS?) throws -> WindowPolicy {
        let bos = bos ?? (bosID == nil ? .never : .always)
        if bos != .never, namedBOS == nil { throw ExperimentError.noBOS(name) }
        let longest = window + (bos == .never ? -1 : 0)
        guard longest <= model.config.maxSequence else {
            throw ExperimentError.window(window, model: name, limit: model.config.maxSequence)
        }
        return WindowPolicy(window: window, stride: stride, bos: bos)
    }

    /// The windows of `text` under `policy`.
    public func windows(_ text: EvaluationText, _ policy: WindowPolicy) throws -> [EvaluationWindow] {
        let windows = policy.windows(text, tokenizer: tokenizer, bosID: namedBOS)
        guard !windows.isEmpty else { throw ExperimentError.nothingToScore }
        return windows
    }
}

/// An error that stops an experiment or an evaluation.
public enum ExperimentError: Error, CustomStringConvertible, Equatable {
    /// The checkpoint at this path has no tokenizer, and none was named.
    case noTokenizer(String)
    /// The tokenizer has more tokens than the model's embedding has rows.
    case vocabulary(String, tokenizer: Int, model: Int)
    /// Windows shall start with a BOS, but this model's tokenizer has none.
    case noBOS(String)
    /// A window or sequence is longer, in tokens, than the positions the model has (`limit`).
    case window(Int, model: String, limit: Int)
    /// The first model has another tokenizer than the second, from which its divergence was to be measured.
    case tokenizers(String, String)
    /// No cache takes so few bytes a token; the leanest is this model's and takes `least`.
    case noCacheFits(budget: Double, least: Double, model: String, cache: String)
    /// No encodings of the layers take so few bytes a token; the leanest take `least`.
    case noEncodingsFit(budget: Double, least: Double, encoding: String)
    /// No window of the text has a token that something precedes.
    case nothingToScore
    /// The recipe's value at `key` doesn't fit the data or the model it is to be used on.
    case recipe(key: String, reason: String)
    /// A lab's conversions and scores alone take longer than so many minutes; a step has so many tokens.
    case budget(minutes: Double, tokens: Int)
    /// The conversion method has settings that only a recipe can say.
    case methodWithSettings(String)
    /// An input at this path, or under this key, was changed while a sweep that knows it by another digest was running.
    case changedMeanwhile(String, recorded: String, found: String)
    /// The text file at this path is no UTF-8 from byte `offset` on.
    case textNotUTF8(String, offset: Int)

    /// The sentence for the user: the place, the fault and mostly the option that mends it.
    public var description: String {
        switch self {
        case .noTokenizer(let path): "\(path): the checkpoint has no tokenizer; name one with --tokenizer FILE"
        case .vocabulary(let path, let tokenizer, let model):
            "\(path): the tokenizer has \(tokenizer) tokens, the model \(model); name the model's own with --tokenizer FILE"
        case .noBOS(let name): "\(name): the tokenizer has no BOS token; use --bos never"
        case .window(let window, let name, let limit):
            "a window of \(window) tokens does not fit \(name), which has \(limit) positions; choose a smaller --window"
        case .tokenizers(let name, let parent):
            "\(name) and \(parent) have different tokenizers; divergence is measured between predictions of the same tokens"
        case .noCacheFits(let budget, let least, let model, let cache):
            "no cache takes \(budget) bytes a token; the leanest, \(cache) of \(model), takes "
                + String(format: "%.1f", least) + "; raise --budget-bytes-per-token, or name a checkpoint with fewer KV heads"
        case .noEncodingsFit(let budget, let least, let encoding):
            "no encodings of the layers take \(budget) bytes a token; the leanest, \(encoding), take "
                + String(format: "%.1f", least) + "; raise --kv-bits-budget, or evict (kvlab advise)"
        case .nothingToScore: "the text has no token to score"
        case .recipe(let key, let reason): "'\(key)': \(reason)"
        case .budget(let minutes, let tokens):
            "after conversions and scores, \(minutes) minutes leave less than a step of \(tokens) tokens for each uptraining; "
                + "give more --budget-minutes, fewer --methods or --kv-heads, or a smaller --batch"
        case .methodWithSettings(let name):
            "'\(name)' has settings of its own: write a recipe with an \"attention\" of that kind, or take 'mla', whose rank follows "
                + "from --kv-heads"
        case .changedMeanwhile(let path, let recorded, let found):
            "\(path): the file was changed while the sweep ran: its SHA-256 was \(recorded), now it is \(found); "
                + "start the same command again, which makes what the new content asks for"
        case .textNotUTF8(let path, let offset): "\(path): invalid UTF-8 at byte \(offset); convert the file to UTF-8"
        }
    }
}
