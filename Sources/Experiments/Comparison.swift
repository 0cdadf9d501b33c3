import Checkpoints
import Evaluation
import Inference
import Kernels
import Models

/// Compares checkpoints on one text.
public struct Comparison {
    /// Cache figures' context.
    public var contextTokens = 4096
    /// Cache figures' sequences.
    public var batch = 1
    /// Cache figures' element type.
    public var kvType = CacheEncoding.standard
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

    /// A table of `models` on `text`, differences and divergences to the first, and the figures that tasks are shown beside.
    ///
    /// Perplexity is left out where the models have different tokenizers: only bits per byte compare them then. Throws
    /// ``EncodingMismatch`` where a model cannot have the cache whose size is shown.
    public func table(
        _ models: [LoadedModel], _ text: EvaluationText, title: String, reporter: ProgressReporter
    ) throws -> (table: ComparisonTable, quality: MeasuredQuality) {
        var table = ComparisonTable(text: title, contextTokens: contextTokens, batch: batch, kvDtype: kvType.name, rows: [])
        var quality = MeasuredQuality(entries: [], full: CacheSpec(keepingAllIn: kvType))
        guard let first = models.first else { return (table, quality) }
        for model in models { try model.model.config.kvGeometry(kvType).check(kvType) }
        let oneTokenizer = models.allSatisfy { $0.tokenizer.serialized == first.tokenizer.serialized }
        let reference = try score(first, text, reporter: reporter)
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
            table.rows.append(row)
            quality.entries.append(
                MeasuredQuality.Entry(
                    model: index, cache: quality.full, bytesPerToken: row.allocatedBytesPerToken ?? Double(row.kvBytesPerToken),
                    bitsPerByte: row.bitsPerByte, windows: result))
        }
        table.bytesNote = bytesNote
        return (table, quality)
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

    /// Bytes of the pages that a sequence of ``contextTokens`` has, of the size that a server chooses; nil where a token does not fit one.
    func allocatedBytes(_ config: ModelConfig) -> Int? {
        let geometry = config.kvGeometry(kvType)
        let pageBytes = PageSize.bytes(for: geometry)
        return PageSize.pages(tokens: contextTokens, of: geometry, pageBytes: pageBytes).map { $0 * pageBytes }
    }

    /// The difference between logical and allocated bytes, in words.
    var bytesNote: String {
        let scales = kvType.isElementwise ? "" : " with the scales of their codes"
        let sealed = kvType.blockTokens > 1 ? ", and tokens of a block that is not full wait in bf16" : ""
        return
            "KV bytes/token are logical: keys and values\(scales). Allocated are the pages, of the size that a server chooses, of a "
            + "sequence of \(groupedDigits(contextTokens)) tokens: the last page of each layer is in part empty\(sealed)."
    }

    /// A row of figures that need no other model.
    public func row(_ name: String, _ config: ModelConfig, _ result: PerplexityResult) -> ComparisonRow {
        // Layers with a window keep fewer bytes a token the longer the sequence is.
        let bytes = config.kvBytes(kvType, tokens: contextTokens)
        return ComparisonRow(
            name: name, attention: config.attentionLabel, kvBytesPerToken: (bytes + contextTokens - 1) / max(1, contextTokens),
            allocatedBytesPerToken: allocatedBytes(config).map { Double($0) / Double(max(1, contextTokens)) },
            cacheBytes: bytes * batch, parameters: config.parameterCount,
            perplexity: result.perplexity, bitsPerByte: result.bitsPerByte)
    }
}
