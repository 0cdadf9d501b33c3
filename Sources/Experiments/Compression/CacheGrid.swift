import Evaluation
import Inference
import Kernels
import Models
import Recipes
import Text

/// The caches that models are measured through, each model with each cache, and the windows of text that they are measured on.
///
/// The context of every figure is the window: divergence, bytes and speed belong to sequences of one length, whose first tokens are
/// a prompt that policies decide behind. A budget of 64 slots says little about the bytes of longer sequences than it was scored on.
struct CacheGrid: Sendable {
    /// The caches, each once, the uncompressed one in the encoding of shown sizes among them.
    let caches: [CacheSpec]
    /// Tokens of a window, a BOS included.
    let window: Int
    /// Tokens of a window's prompt, a BOS included: only predictions of the positions behind it are scored.
    let prompt: Int
    /// The encoding of the uncompressed cache that memory is counted in.
    let encoding: CacheEncoding
    /// The place of each cache as its user knows it, such as a recipe's key; nil for the one that is added.
    private let places: [String?]

    /// Uncompressed sequences of the parent whose memory the sequences held are counted in.
    static let sequences = 32

    /// The grid of `named` caches.
    ///
    /// - Parameter prompt: nil for half the window.
    init(_ named: [(cache: CacheSpec, place: String)], encoding: CacheEncoding, window: Int, prompt: Int?) {
        let full = CacheSpec(keepingAllIn: encoding)
        var caches = named.map(\.cache)
        var places = named.map { Optional($0.place) }
        if !caches.contains(full) {
            caches.insert(full, at: 0)
            places.insert(nil, at: 0)
        }
        (self.caches, self.places, self.encoding) = (caches, places, encoding)
        (self.window, self.prompt) = (window, prompt ?? window / 2)
    }

    /// Throws ``ExperimentError/recipe(key:reason:)`` with a cache's place where the model called `name` cannot have that cache, or
    /// with `promptPlace` where its windows are no longer than the prompt.
    func check(_ config: ModelConfig, name: String, promptPlace: String) throws(ExperimentError) {
        let longest = min(window, config.maxSequence)
        guard (1..<longest).contains(prompt) else {
            throw .recipe(
                key: promptPlace, reason: "\(prompt) tokens, expected 1 to \(longest - 1), less than the window of \(name)")
        }
        for (cache, place) in zip(caches, places) {
            do {
                try config.kvGeometry(cache.encoding).check(cache.encoding)
                let retention = try cache.ranked(for: config).retention()
                try retention.check(config, cache.encoding)
                try retention.check(config, prompt: prompt)
                try HeadMeasurement.check(cache, config)
            } catch {
                throw .recipe(key: place ?? "\(cache)", reason: "\(name): \(error)")
            }
        }
    }

    /// Bytes of the pages of ``sequences`` uncompressed sequences of `tokens` in the parent's cache.
    func memory(of parent: ModelConfig, tokens: Int) -> Int {
        let geometry = parent.kvGeometry(encoding)
        let pageBytes = PageSize.bytes(for: geometry)
        return Self.sequences * pageBytes * (PageSize.pages(tokens: tokens, of: geometry, pageBytes: pageBytes) ?? 1)
    }
}

extension LabRecipe {
    /// The caches that models are measured through with their keys in the recipe, the one that children are trained through among them;
    /// nil where the recipe names none.
    var measuredCaches: [(cache: CacheSpec, place: String)]? {
        var caches = (compression ?? []).enumerated().map { (cache: $1, place: "lab.compression[\($0)]") }
        if let through = uptrain.through, !caches.contains(where: { $0.cache == through.cache }) {
            caches.append((through.cache, "lab.through"))
        }
        return caches.isEmpty ? nil : caches
    }
}

extension CacheGrid {
    /// The cache of `model`'s windows, in pages as a server has them by default; `tokenizer` made the windows' tokens.
    func options(
        _ model: ServingModel, _ tokenizer: any Tokenizer, _ cache: CacheSpec
    ) throws(InferenceError) -> EvaluationCache {
        let retention = try cache.retention().instructed(by: tokenizer)
        var options = EvaluationCache(
            encoding: cache.encoding, retention: retention,
            pageBytes: PageSize.bytes(for: [model.config], cache.encoding, under: retention))
        options.prompt = prompt
        return options
    }

    /// Measures `model` through `cache` on `windows` of tokens of `tokenizer`, its predictions against those of `parent` over an uncompressed Float32 cache.
    ///
    /// - Parameter parent: nil where the model is the parent.
    func measure(
        _ model: ServingModel, _ tokenizer: any Tokenizer, through cache: CacheSpec, parent: ServingModel?,
        _ windows: [EvaluationWindow], progress: (Int) throws -> Void
    ) throws -> CompressedScore {
        let options = try options(model, tokenizer, cache)
        let quality = try CachedPerplexity.evaluate(model, windows, through: options, against: parent, progress: progress)
        guard let longest = windows.max(by: { $0.inputs.count < $1.inputs.count })?.inputs, longest.count > prompt,
            quality.score.tokensScored > 0
        else { throw NoTextBehindPrompt(prompt: prompt, longest: windows.map(\.inputs.count).max() ?? 0) }
        let decoding = try DecodeProbe.run(model, longest, through: options)
        let memory = memory(of: (parent ?? model).config, tokens: longest.count)
        let tokens = Double(longest.count)
        // Rounding takes the sums of equal predictions below 0, where no divergence is.
        let divergence = quality.klToFull < 0 ? 0 : quality.klToFull
        return CompressedScore(
            nll: quality.score.nll, tokens: quality.score.tokensScored, bytes: quality.score.bytesScored,
            windows: quality.score.windows.map { [$0.nll, Double($0.tokens), Double($0.bytes)] }, klToParent: divergence,
            slotsKept: quality.slotsKept, contextTokens: longest.count,
            cacheBytesPerToken: Double(decoding.allocatedBytes + decoding.sidecarBytes) / tokens,
            sidecarBytesPerToken: Double(decoding.sidecarBytes) / tokens,
            logicalBytesPerToken: Double(decoding.logicalBytes) / tokens, pageBytes: options.pageBytes,
            tokensPerSecond: decoding.tokensPerSecond, sequences: memory / max(decoding.allocatedBytes, 1), memoryBytes: memory,
            machine: MachineDescription.text, date: MachineDescription.date)
    }
}
