import Evaluation
import Files
import Foundation
import Inference
import Kernels
import Models

/// The choice of an encoding for each layer of a model: the least divergence within a budget of bytes.
///
/// Each encoding is measured in each layer alone on a calibration text. For a budget the encodings with the least sum of these
/// divergences are chosen whose pages, of a decoding sequence of the context, are within it; the page size is chosen too, among
/// those that suit one or two of the encodings. Divergences of layers add up roughly only: the chosen cache is measured as a whole, on the
/// calibration text and on the windows behind it.
public struct LayerEncodings: Sendable, Encodable {
    /// A cache with its bytes and divergences.
    public struct Cache: Sendable, Encodable {
        /// The encoding as `--kv-dtype` reads it.
        public let kvDtype: String
        /// Bytes of a page.
        public var pageBytes: Int
        /// The most bytes of pages that a decoding sequence of the context holds, a token of it.
        public var bytesPerToken: Double
        /// KL(full ‖ this) in nats a token, on the calibration text.
        public var klToFull = 0.0
        /// The same on the windows behind it; nil where there are none.
        public var klHeldOut: Double?
        /// The encodings.
        let encoding: CacheEncoding

        init(encoding: CacheEncoding, pageBytes: Int, bytes: Int, tokens: Int) {
            (self.encoding, kvDtype, self.pageBytes) = (encoding, encoding.name, pageBytes)
            bytesPerToken = Double(bytes) / Double(tokens)
        }

        private enum CodingKeys: String, CodingKey {
            case kvDtype, pageBytes, bytesPerToken, klToFull, klHeldOut
        }

        /// Measures `model` through it on `windows`.
        fileprivate func divergence(_ model: ServingModel, _ windows: [EvaluationWindow]) throws -> Double {
            let cache = EvaluationCache(encoding: encoding, pageBytes: pageBytes)
            return max(0, try CachedPerplexity.evaluate(model, windows, through: cache).klToFull)
        }
    }

    /// A layer's encoding.
    public struct Layer: Sendable, Encodable {
        /// The layer's number.
        public var layer: Int
        /// Its encoding's name.
        public var encoding: String
        /// The divergence that it makes alone, in nats a token.
        public var kl: Double
        /// Bytes of its pages a token.
        public var bytesPerToken: Double
    }

    /// The encodings chosen for a budget.
    public struct Choice: Sendable, Encodable {
        /// The budget, bytes a token.
        public var budget: Double
        /// The cache.
        public var cache: Cache
        /// The sum of its layers' divergences, in nats a token.
        public var predictedKL: Double
        /// The layers with caches of their own.
        public var layers: [Layer]
        /// The command that serves the model through it.
        public var serve: String
    }

    /// The model's name.
    public internal(set) var model: String
    /// Tokens of the sequences that bytes are counted for.
    public internal(set) var context: Int
    /// The calibration text's name, and the SHA-256 of its documents, joined.
    public internal(set) var text: String, textSHA256: String
    /// Windows of the calibration, tokens scored in them, and windows behind it.
    public internal(set) var windows: Int, tokens: Int, heldOutWindows: Int
    /// The candidates' names.
    public internal(set) var encodings: [String]
    /// The divergence of each candidate in each layer alone, in nats a token; none in a layer without a cache of its own.
    public internal(set) var divergences: [[Double]]
    /// The choice for each budget.
    public internal(set) var choices: [Choice]
    /// Each candidate in all layers.
    public internal(set) var uniform: [Cache]

    /// The choices for people: layers and candidates, then the caches, then the commands.
    public var plain: String {
        func row(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |" }
        func nats(_ value: Double) -> String { String(format: "%.6f", value) }
        let mark = { (choice: Choice) in "chosen at " + String(format: "%g", choice.budget) }
        var lines = [
            "\(model): KL to the full cache in nats a token, one layer encoded, on \(windows) windows (\(tokens) tokens) of \(text), SHA-256 \(textSHA256)",
            row(["layer"] + encodings + choices.map(mark)),
            row(["---:"] + encodings.map { _ in "---:" } + choices.map { _ in "---" }),
        ]
        for (layer, divergences) in divergences.enumerated() where !divergences.isEmpty {
            let chosen = choices.map { choice in choice.layers.first { $0.layer == layer }?.encoding ?? "" }
            lines.append(row(["\(layer)"] + divergences.map(nats) + chosen))
        }
        let behind = heldOutWindows > 0 ? ", and on \(heldOutWindows) windows behind" : ""
        lines += [
            "",
            "Bytes of pages a token of a decoding sequence of \(context); KL of whole caches on the calibration windows\(behind):",
            row(["cache", "page", "bytes/token", "predicted KL", "KL", "KL behind"]),
            row(["---", "---:", "---:", "---:", "---:", "---:"]),
        ]
        let caches = uniform.map { ($0, Double?.none) } + choices.map { ($0.cache, $0.predictedKL) }
        for (cache, predicted) in caches {
            lines.append(
                row([
                    cache.kvDtype, "\(cache.pageBytes)", String(format: "%.1f", cache.bytesPerToken), predicted.map(nats) ?? "",
                    nats(cache.klToFull), cache.klHeldOut.map(nats) ?? "",
                ]))
        }
        return (lines + [""] + choices.map(\.serve)).joined(separator: "\n")
    }
}

/// The search of ``LayerEncodings``.
public struct LayerEncodingSearch {
    /// Budgets in bytes a token.
    public var budgets: [Double]
    /// Tokens of the sequences that bytes are counted for.
    public var context: Int
    /// The candidates; one that the model cannot have is none.
    public var candidates = Self.candidates
    /// Windows of the calibration, and of those held out behind it at most.
    public var windows = 4

    /// Every encoding but those of no better divergence at as many bytes: bf16 beside fp16, llama.cpp's beside int8 and int4.
    public static let candidates: [KVEncoding] = [.float32, .float16, .int8, .k8v4, .kivi4, .int4, .kivi2]

    /// A search within `budgets` for sequences of `context` tokens.
    public init(budgets: [Double], context: Int) { (self.budgets, self.context) = (budgets, context) }

    /// The choices for `model`, the file at `path`, by `comparison`'s windows of `text`.
    ///
    /// Throws before any measurement ``ExperimentError/noEncodingsFit(budget:least:encoding:)`` where the leanest encodings are above a budget,
    /// and ``ExperimentError/recipe(key:reason:)`` where the model can have no candidate.
    public func run(
        _ model: LoadedModel, path: String, _ comparison: Comparison, _ text: EvaluationText, textName: String,
        reporter: ProgressReporter
    ) throws -> LayerEncodings {
        let config = model.model.config
        let candidates = candidates.filter { encoding in
            let cache = CacheEncoding(encoding)
            return (try? config.kvGeometry(cache).check(cache)) != nil
        }
        guard !candidates.isEmpty else {
            throw ExperimentError.recipe(key: "--kv-dtype", reason: "\(model.name) can have none of these encodings")
        }
        let pages = LayerPages(config, candidates, tokens: context)
        for budget in budgets { try pages.check(budget: budget) }
        var comparison = comparison
        comparison.mostWindows = 2 * windows
        let all = try comparison.windows(model, text)
        let (calibration, heldOut) = (Array(all.prefix(windows)), Array(all.dropFirst(windows)))
        let serving = try ServingModel(config: config, parameters: model.checkpoint.parameters)
        let start = ContinuousClock.now
        defer { reporter.clear() }
        let measured = try LayerDivergences(serving, calibration, candidates: candidates) { done, all in
            let left = (ContinuousClock.now - start) / .seconds(1) / Double(max(done, 1)) * Double(all - done)
            reporter.progress(
                "\(model.name)  layers and encodings \(done)/\(all)"
                    + (done > 0 ? "  ETA \(ProgressReporter.duration(left))" : ""))
        }
        let choices = try budgets.map { budget in
            let (cache, chosen) = try pages.best(measured.divergences, budget: budget)
            let layers = measured.layers.indices.map { index in
                LayerEncodings.Layer(
                    layer: measured.layers[index], encoding: candidates[chosen[index]].name,
                    kl: measured.divergences[index][chosen[index]],
                    bytesPerToken: pages.bytesPerToken(
                        layer: measured.layers[index], encoding: chosen[index], pageBytes: cache.pageBytes))
            }
            let isDefault = cache.pageBytes == PageSize.bytes(for: [config], cache.encoding)
            return LayerEncodings.Choice(
                budget: budget, cache: cache, predictedKL: layers.reduce(0) { $0 + $1.kl }, layers: layers,
                serve: ShellLine.text(
                    ["kvlab", "serve", path, "--kv-dtype", cache.kvDtype] + (isDefault ? [] : ["--page", "\(cache.pageBytes)"])))
        }
        let own = Dictionary(uniqueKeysWithValues: zip(measured.layers, measured.divergences))
        var found = LayerEncodings(
            model: model.name, context: context, text: textName, textSHA256: SHA256Digest(of: text.documents.joined()).hex,
            windows: calibration.count, tokens: calibration.reduce(0) { $0 + $1.scoredTokens }, heldOutWindows: heldOut.count,
            encodings: candidates.map(\.name), divergences: (0..<config.layers).map { own[$0] ?? [] }, choices: choices,
            uniform: candidates.map { pages.uniform($0) })
        func measure(_ cache: inout LayerEncodings.Cache) throws {
            reporter.progress("\(model.name)  through \(cache.kvDtype)")
            cache.klToFull = try cache.divergence(serving, calibration)
            if !heldOut.isEmpty { cache.klHeldOut = try cache.divergence(serving, heldOut) }
        }
        for index in found.choices.indices { try measure(&found.choices[index].cache) }
        for index in found.uniform.indices { try measure(&found.uniform[index]) }
        return found
    }
}
