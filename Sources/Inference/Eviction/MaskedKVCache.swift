import Glibc
import Kernels
import Models

/// A cache of one sequence that keeps every token and attends to the tokens that another cache has kept: the definition of eviction,
/// in Float64, for ``ExactnessGates``.
///
/// Keys and values are decoded from their encoding, so that nothing but the order of sums is left to differ.
struct MaskedKVCache: KVCache {
    private let geometry: [KVGeometry]
    /// The stream of each layer: its own, or that of the layer whose cache it shares.
    private let streams: [Int]
    /// Keys and values of each stream and KV head, by position.
    private var keys: [[[[Float]]]]
    private var values: [[[[Float]]]]
    private var tokens = 0
    /// Positions kept of each stream and KV head among the tokens before the step; empty where all are.
    var kept: [[[Int32]]]

    init(config: ModelConfig, encoding: CacheEncoding) {
        geometry = config.kvGeometry(encoding)
        streams = geometry.cacheNumbers
        keys = geometry.filter { $0.source == nil }.map { [[[Float]]](repeating: [], count: $0.kvHeads) }
        values = keys
        kept = keys.map { _ in [] }
    }

    func length(of sequence: Int) -> Int { tokens }

    mutating func commit(_ step: RaggedBatch) { tokens += step.tokens.count }

    mutating func attend(layer: Int, _ queries: CachedQueries, _ step: RaggedBatch) -> CachedAttention {
        let (shape, stream, rows) = (geometry[layer], streams[layer], queries.rows.array())
        let (heads, group, count) = (queries.heads, queries.heads / shape.kvHeads, step.tokens.count)
        if shape.source == nil { store(rows, queries, shape, stream, count: count) }
        var output: [Float] = []
        var sums: [Float] = []
        for row in 0..<count {
            for head in 0..<heads {
                let start = row * queries.rowWidth + head * shape.keyDim
                let visible = visible(tokens + row, stream, head: head / group, shape)
                let logits = visible.map { position in
                    let key = keys[stream][head / group][position]
                    return (0..<shape.keyDim).reduce(0.0) { $0 + Double(rows[start + $1]) * Double(key[$1]) }
                        * Double(queries.scale)
                }
                let top = logits.max() ?? 0
                let weights = logits.map { exp($0 - top) }
                let sum = weights.reduce(0, +)
                var mean = [Double](repeating: 0, count: shape.valueDim)
                for (position, weight) in zip(visible, weights) {
                    let value = values[stream][head / group][position]
                    for index in mean.indices { mean[index] += weight / sum * Double(value[index]) }
                }
                output += mean.map { Float($0) }
                sums.append(Float(top + log(sum)))
            }
        }
        return CachedAttention(output: Storage(copying: output), logSumExp: Storage(copying: sums))
    }

    /// Takes the values that `cache` holds in place of those that came.
    mutating func adoptValues(of cache: PagedKVCache) {
        let table = cache.table(of: 0)
        for (layer, heads) in kept.enumerated() {
            for (head, positions) in heads.enumerated() {
                let place = cache.place(of: head, in: cache.layerStreams[layer])
                let stored = cache.store.memory.vectors(
                    cache.layouts[place.stream], .value, head: place.head, slots: positions.count, of: table.pages[place.stream])
                for (position, value) in zip(positions, stored.vectors(positions.count)) {
                    values[layer][head][Int(position)] = Array(value)
                }
            }
        }
    }

    /// The positions that the query at `position` sees.
    private func visible(_ position: Int, _ stream: Int, head: Int, _ shape: KVGeometry) -> [Int] {
        let before = kept[stream].isEmpty ? Array(0..<tokens) : kept[stream][head].map { Int($0) }
        return (before + Array(tokens...position)).filter { seen in
            shape.window.map { seen < shape.sinks || seen > position - $0 } ?? true
        }
    }

    private mutating func store(_ rows: [Float], _ queries: CachedQueries, _ shape: KVGeometry, _ stream: Int, count: Int) {
        for row in 0..<count {
            for head in 0..<shape.kvHeads {
                let start = row * queries.rowWidth + queries.heads * shape.keyDim
                let key = shape.encoding.roundedKey(
                    rows[start + head * shape.keyDim..<start + (head + 1) * shape.keyDim], valueDim: shape.valueDim,
                    valuesAreKeys: shape.valuesAreKeys)
                let valueStart = start + shape.kvHeads * shape.keyDim + head * shape.valueDim
                keys[stream][head].append(key)
                let value =
                    shape.valuesAreKeys
                    ? Array(key[..<shape.valueDim])
                    : shape.encoding.values.rounded(rows[valueStart..<valueStart + shape.valueDim])
                values[stream][head].append(value)
            }
        }
    }
}
