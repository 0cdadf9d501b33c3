import Evaluation
import Inference
import Kernels
import Models

/// The divergence that each encoding makes in each layer alone, all others unrounded.
struct LayerDivergences {
    /// The encodings, and the layers with caches of their own.
    let candidates: [KVEncoding]
    let layers: [Int]
    /// KL(full ‖ encoded) in nats a token, [layer][candidate]; 0 for unrounded elements, at least 0.
    private(set) var divergences: [[Double]]

    /// Bytes that the caches of a batch take of a window, each counted as fp32.
    private static let batchBytes = 1 << 30

    /// Measures `model` on `windows`: one pass for each layer and encoding, batch by batch, each with a pass of the full cache.
    ///
    /// Throws ``InferenceError`` where the memory cannot be had.
    ///
    /// - Parameter progress: takes the passes done and their number.
    init(
        _ model: ServingModel, _ windows: [EvaluationWindow], candidates: [KVEncoding], progress: (Int, Int) throws -> Void
    ) throws {
        let geometry = model.config.kvGeometry(.float32)
        (self.candidates, layers) = (candidates, geometry.indices.filter { geometry[$0].source == nil })
        divergences = layers.map { _ in candidates.map { _ in 0 } }
        var places: [(layer: Int, candidate: Int)] = []
        for layer in layers.indices {
            for (index, candidate) in candidates.enumerated() where candidate != .float32 { places.append((layer, index)) }
        }
        let longest = windows.map(\.inputs.count).max() ?? 1
        let size = max(1, Self.batchBytes / max(1, model.config.kvBytes(.float32, tokens: longest)))
        var done = 0
        while done < places.count {
            let batch = places[done..<min(done + size, places.count)]
            let caches = batch.map { place in
                var encodings = geometry.map { $0.source == nil ? KVEncoding.float32 : nil }
                encodings[layers[place.layer]] = candidates[place.candidate]
                return EvaluationCache(model.config, CacheEncoding(layers: encodings))
            }
            let found = try CachedPerplexity.evaluate(model, windows, through: caches) { window in
                try progress(done + batch.count * window / windows.count, places.count)
            }
            for (place, result) in zip(batch, found) {
                divergences[place.layer][place.candidate] = result.klToFull.isNaN ? .infinity : max(0, result.klToFull)
            }
            done += batch.count
        }
    }
}

extension EvaluationCache {
    /// A cache of all tokens in `encoding`, in pages of a model of `config` as a server has them by default.
    init(_ config: ModelConfig, _ encoding: CacheEncoding) {
        self.init(encoding: encoding, pageBytes: PageSize.bytes(for: [config], encoding))
    }
}
