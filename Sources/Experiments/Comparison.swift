import Checkpoints
import Evaluation
import Kernels
import Models

/// Compares checkpoints on one text.
public struct Comparison {
    /// Cache figures' context.
    public var contextTokens = 4096
    /// Cache figures' sequences.
    public var batch = 1
    /// Cache figures' element type.
    public var kvType = KVEncoding.standard
    /// Text tokens in a window.
    public var window: Int
    /// Tokens between windows' starts; nil: no overlap.
    public var stride: Int?
    /// The placement of the BOS; nil: always for models with one, never for others.
    public var bos: WindowPolicy.BOS?
    /// The most windows scored of a text; nil for all.
    public var mostWindows: Int?

    /// A comparison over windows of `window` tokens, by default without overlap.
    public init(window: Int = 256, stride: Int? = nil, bos: WindowPolicy.BOS? = nil) {
        (self.window, self.stride, self.bos) = (window, stride, bos)
    }

    /// The windows of `text` for `model`.
    func windows(_ model: LoadedModel, _ text: EvaluationText) throws -> [EvaluationWindow] {
        let all = try model.windows(text, try model.policy(window: window, stride: stride, bos: bos))
        return mostWindows.map { Array(all.prefix($0)) } ?? all
    }

    /// A model's perplexity on `text`, with progress.
    public func score(_ model: LoadedModel, _ text: EvaluationText, reporter: ProgressReporter) throws -> PerplexityResult {
        let windows = try windows(model, text)
        defer { reporter.clear() }
        return try Perplexity.evaluate(model.model, windows) { done in
            reporter.progress("\(model.name)  perplexity  window \(done)/\(windows.count)")
        }
    }

    /// A table of `models` on `text`, differences and divergences to the first.
    ///
    /// Perplexity is left out where the models have different tokenizers: only bits per byte compare them then. Throws
    /// ``EncodingMismatch`` where a model cannot have the cache whose size is shown.
    public func table(_ models: [LoadedModel], _ text: EvaluationText, title: String, reporter: ProgressReporter) throws
        -> ComparisonTable
    {
        guard let first = models.first else {
            return ComparisonTable(text: title, contextTokens: contextTokens, batch: batch, kvDtype: kvType.name, rows: [])
        }
        for model in models { try model.model.config.kvGeometry(kvType).checkEncoding() }
        let oneTokenizer = models.allSatisfy { $0.tokenizer.serialized == first.tokenizer.serialized }
        let reference = try score(first, text, reporter: reporter)
        var rows: [ComparisonRow] = []
        for (index, model) in models.enumerated() {
            let result = index == 0 ? reference : try score(model, text, reporter: reporter)
            var row = row(model.name, model.model.config, result)
            if !oneTokenizer { row.perplexity = nil }
            if index > 0 {
                let paired = PairedDifference(reference: reference, other: result)
                row.difference = paired.bitsPerByte
                row.standardError = paired.standardError
                if oneTokenizer { row.klDivergence = try divergence(first, model, text, reporter: reporter) }
            }
            rows.append(row)
        }
        return ComparisonTable(text: title, contextTokens: contextTokens, batch: batch, kvDtype: kvType.name, rows: rows)
    }

    /// The KL divergence of `child` from `parent` in nats per token; nil where the vocabularies differ in size.
    public func divergence(
        _ parent: LoadedModel, _ child: LoadedModel, _ text: EvaluationText, reporter: ProgressReporter
    ) throws -> Double? {
        guard parent.model.config.vocabularySize == child.model.config.vocabularySize else { return nil }
        let windows = try windows(parent, text)
        defer { reporter.clear() }
        return try Divergence.meanKL(parent: parent.model, child: child.model, windows) { done in
            reporter.progress("\(child.name)  KL divergence  window \(done)/\(windows.count)")
        }
    }

    /// A row of figures that need no other model.
    public func row(_ name: String, _ config: ModelConfig, _ result: PerplexityResult) -> ComparisonRow {
        // Layers with a window keep fewer bytes a token the longer the sequence is.
        let bytes = config.kvBytes(kvType, tokens: contextTokens)
        return ComparisonRow(
            name: name, attention: config.attentionLabel, kvBytesPerToken: (bytes + contextTokens - 1) / max(1, contextTokens),
            cacheBytes: bytes * batch, parameters: config.parameterCount,
            perplexity: result.perplexity, bitsPerByte: result.bitsPerByte)
    }
}
