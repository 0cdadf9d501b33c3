import Inference
import Kernels
import Models

/// The pages that each of some encodings takes in each layer of a model, at each page size that suits one or two of them.
struct LayerPages {
    private let config: ModelConfig
    private let encodings: [KVEncoding]
    /// Tokens of a sequence that decodes.
    private let tokens: Int
    /// Layers with caches of their own.
    private let layers: [Int]
    /// For each page size the pages of each of these layers in each encoding; nil where a page holds none of its tokens.
    private let counts: [(pageBytes: Int, pages: [[Int?]])]

    /// The pages that sequences of `tokens` tokens hold at most while they decode.
    init(_ config: ModelConfig, _ encodings: [KVEncoding], tokens: Int) {
        (self.config, self.encodings, self.tokens) = (config, encodings, tokens)
        let geometries = encodings.map { config.kvGeometry(CacheEncoding($0)) }
        let layers = (0..<config.layers).filter { config.keyValueSource($0) == nil }
        self.layers = layers
        // The default page size follows from the leanest layer and the one with the largest block.
        let sizes = Set(geometries.flatMap { first in geometries.map { PageSize.bytes(for: first + $0) } })
        counts = sizes.sorted().map { size in
            let pages = layers.map { layer in
                geometries.map { PageSize.pages(tokens: tokens, layer: layer, of: $0, pageBytes: size) }
            }
            return (size, pages)
        }
    }

    /// The cache of the least sum of `losses` [layer][encoding] of layers with caches of their own within `budget` bytes a token, and the
    /// indices of its layers' encodings; of equal ones the one of the fewest bytes.
    ///
    /// Throws ``ExperimentError/noEncodingsFit(budget:least:encoding:)`` where none is within it.
    func best(_ losses: [[Double]], budget: Double) throws(ExperimentError) -> (cache: LayerEncodings.Cache, chosen: [Int]) {
        if let found = choice(losses, budget: budget) { return found }
        // Of equal losses the fewest bytes are best.
        guard let least = choice(equalLosses, budget: .infinity) else {
            throw .recipe(key: "--kv-dtype", reason: "no page holds these encodings of all layers")
        }
        throw .noEncodingsFit(budget: budget, least: least.cache.bytesPerToken, encoding: least.cache.kvDtype)
    }

    /// The same; nil where no encodings are within the budget.
    private func choice(_ losses: [[Double]], budget: Double) -> (cache: LayerEncodings.Cache, chosen: [Int])? {
        var best: (loss: Double, bytes: Int, pageBytes: Int, chosen: [Int])?
        for (size, pages) in counts {
            let options = zip(pages, losses).map { pages, losses in
                zip(pages.indices, zip(pages, losses)).compactMap { index, option in
                    option.0.map { (index: index, option: LayerChoice.Option(pages: $0, loss: option.1)) }
                }
            }
            guard options.allSatisfy({ !$0.isEmpty }),
                let found = LayerChoice.best(
                    options.map { $0.map(\.option) }, budget: Int(min(budget * Double(tokens), 0x1p52)) / size)
            else { continue }
            let chosen = zip(options, found).map { $0[$1] }
            let loss = chosen.reduce(0) { $0 + $1.option.loss }
            let bytes = chosen.reduce(0) { $0 + $1.option.pages * size }
            if best.map({ (loss, bytes) < ($0.loss, $0.bytes) }) ?? true { best = (loss, bytes, size, chosen.map(\.index)) }
        }
        return best.map { best in
            var all = [KVEncoding?](repeating: nil, count: config.layers)
            for (layer, index) in zip(layers, best.chosen) { all[layer] = encodings[index] }
            let encoding = CacheEncoding(layers: all)
            let cache = LayerEncodings.Cache(encoding: encoding, pageBytes: best.pageBytes, bytes: best.bytes, tokens: tokens)
            return (cache, best.chosen)
        }
    }

    private var equalLosses: [[Double]] { layers.map { _ in encodings.map { _ in 0 } } }

    /// Throws where no encodings are within `budget` bytes a token.
    func check(budget: Double) throws(ExperimentError) {
        _ = try best(equalLosses, budget: budget)
    }

    /// Bytes of a layer's pages a token, in the encoding of index `encoding`.
    func bytesPerToken(layer: Int, encoding: Int, pageBytes: Int) -> Double {
        let geometry = config.kvGeometry(CacheEncoding(encodings[encoding]))
        let pages = PageSize.pages(tokens: tokens, layer: layer, of: geometry, pageBytes: pageBytes) ?? 0
        return Double(pages * pageBytes) / Double(tokens)
    }

    /// One encoding in all layers, in pages as a server has them by default.
    func uniform(_ encoding: KVEncoding) -> LayerEncodings.Cache {
        let encoding = CacheEncoding(encoding)
        let pageBytes = PageSize.bytes(for: [config], encoding)
        let pages = PageSize.pages(tokens: tokens, of: config.kvGeometry(encoding), pageBytes: pageBytes) ?? 0
        return LayerEncodings.Cache(encoding: encoding, pageBytes: pageBytes, bytes: pages * pageBytes, tokens: tokens)
    }
}
