import Inference
import Kernels
import Models
import Synchronization

/// Echo and induction scores of KV heads (Tang et al. 2024, "RazorAttention: Efficient KV Cache Compression Through Retrieval Heads",
/// section 3.2).
///
/// Random tokens come several times. From the second time on a head's echo score is its attention to a token's earlier occurrences, its induction
/// score that to the tokens behind these, both means over the queries:
///
///     A B C  A B C     the query at the second B echoes with its weight on B, induces with that on C
///
/// A KV head has the greatest of its query heads, and of the layers that share its keys and values.
public struct RepetitionScores: Sendable {
    /// The scores by layer with keys and values of its own and no window, and KV head.
    public private(set) var echo: [[Double]], induction: [[Double]]

    /// The scores of `model` on `words` that come `times` times.
    ///
    /// Precondition: they fit the model's positions. Throws ``InferenceError`` where a cache's memory cannot be had.
    public init(_ model: ServingModel, words: [Int32], times: Int) throws {
        let (config, count) = (model.config, times * words.count)
        precondition(words.count > 1 && times > 1 && count <= config.maxSequence, "RepetitionScores: \(count) positions")
        let sums = WeightSums(layers: config.layers, heads: (0..<config.layers).map { config.heads[$0] }.max() ?? 1)
        let observer = RepetitionObserver(period: words.count, sums: sums)
        var cache = try PagedKVCache(
            config: config, retention: observer, pageBytes: PageSize.bytes(for: [config], .float32), tokens: count,
            chunk: words.count)
        cache.add(0)
        cache.setPromptLength(0, count)
        for _ in 0..<times {
            _ = model.logits(RaggedBatch(sequences: [0], counts: [words.count], tokens: words), cache: &cache)
        }
        let geometry = config.kvGeometry(.float32)
        let queries = Double(count - words.count)
        var (echo, induction) = ([Int: [Double]](), [Int: [Double]]())
        for (layer, shape) in geometry.enumerated() where shape.window == nil {
            let (source, group) = (shape.source ?? layer, config.heads[layer] / shape.kvHeads)
            let found = sums.of(layer)
            func add(_ values: [Double], _ scores: inout [Int: [Double]]) {
                let heads = (0..<shape.kvHeads).map { head in
                    (values[head * group..<(head + 1) * group].max() ?? 0) / queries
                }
                scores[source] = scores[source].map { zip($0, heads).map { max($0, $1) } } ?? heads
            }
            add(found.echo, &echo)
            add(found.induction, &induction)
        }
        let layers = HeadGates.layers(of: config).map(\.layer)
        (self.echo, self.induction) = (layers.map { echo[$0] ?? [] }, layers.map { induction[$0] ?? [] })
    }
}

/// Keeps everything, and sums the weights on repetitions.
private struct RepetitionObserver: Retention {
    let name = "repetition"
    let inputs: RetentionInputs = .rows
    /// Tokens until they come again.
    let period: Int
    let sums: WeightSums

    func nextDecision(after tokens: Int, prompt: Int) -> Int? { tokens < prompt ? prompt : nil }
    func mostRetained(at tokens: Int, prompt: Int) -> Int { tokens }
    func retained(_ stream: StreamState) -> RetainedSlots { .ranges([0..<stream.slots]) }

    func weigh(_ weights: inout [Float], of query: ObservedQuery) {
        guard query.position >= period else { return }
        var (echo, induction) = (0.0, 0.0)
        for earlier in stride(from: query.position - period, through: 0, by: -period) {
            echo += Double(weights[earlier])
            induction += Double(weights[earlier + 1])
        }
        sums.add(echo, induction, layer: query.layer, head: query.head)
    }
}

/// Sums of weights by layer and query head, which the threads of a pass add to.
private final class WeightSums: Sendable {
    private let heads: Int
    private let values: Mutex<(echo: [Double], induction: [Double])>

    init(layers: Int, heads: Int) {
        self.heads = heads
        let zeros = [Double](repeating: 0, count: layers * heads)
        values = Mutex((zeros, zeros))
    }

    func add(_ echo: Double, _ induction: Double, layer: Int, head: Int) {
        values.withLock {
            $0.echo[layer * heads + head] += echo
            $0.induction[layer * heads + head] += induction
        }
    }

    /// The sums of a layer's heads.
    func of(_ layer: Int) -> (echo: [Double], induction: [Double]) {
        values.withLock {
            let range = layer * heads..<(layer + 1) * heads
            return (Array($0.echo[range]), Array($0.induction[range]))
        }
    }
}
