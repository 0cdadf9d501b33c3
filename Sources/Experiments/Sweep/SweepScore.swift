import Evaluation
import Foundation
import Inference
import Kernels
import Models
import Recipes

/// The scores of a sweep's model, kept in its folder under a name that names the text.
struct SweepScore: Codable, Sendable, Equatable {
    /// For each window its nats, tokens and bytes.
    var windows: [[Double]]
    /// KL divergence from the parent's predictions, nats per token; nil for the parent.
    var klDivergence: Double?
    /// MHA, GQA-2, MQA.
    var attention: String
    /// Parameters.
    var parameters: Int
    /// Cache bytes a token takes by the model's geometry.
    var kvBytesPerToken: Int
    /// Bytes of the pages that a sequence of the text was found to hold, and its tokens; nil for an architecture that the pages
    /// don't hold.
    var cache: MeasuredCache?

    /// The windows as an evaluation gives them, for paired differences.
    var result: PerplexityResult {
        PerplexityResult(
            windows: windows.map { WindowScore(nll: $0[0], tokens: Int($0[1]), bytes: Int($0[2])) }, tokens: [])
    }

    init(_ row: ComparisonRow, _ result: PerplexityResult, cache: MeasuredCache?, klDivergence: Double?) {
        windows = result.windows.map { [$0.nll, Double($0.tokens), Double($0.bytes)] }
        self.klDivergence = klDivergence
        attention = row.attention
        parameters = row.parameters
        kvBytesPerToken = row.kvBytesPerToken
        self.cache = cache
    }

    /// The score in the file at `path`; nil where there is none, or none that can be read.
    static func read(_ path: String) -> SweepScore? {
        TextFile.value(SweepScore.self, at: path).flatMap { $0.windows.allSatisfy { $0.count == 3 } ? $0 : nil }
    }
}

/// The measured bytes of a sequence's keys and values in the paged cache.
public struct MeasuredCache: Codable, Sendable, Hashable {
    /// Tokens of the sequence.
    public var tokens: Int
    /// Bytes of its keys and values.
    public var logicalBytes: Int
    /// Bytes of the pages they lie in.
    public var allocatedBytes: Int

    /// Allocated bytes a token.
    public var bytesPerToken: Double { Double(allocatedBytes) / Double(max(tokens, 1)) }

    /// Serves `ids` as one sequence and counts the bytes that the cache then holds, in the smallest pages from 1 KiB that hold a
    /// token, or a block of tokens encoded together: the waste in the last page of each layer is not the architecture's.
    static func measure(_ model: ServingModel, ids: [Int32], encoding: CacheEncoding) throws -> MeasuredCache {
        let largest = model.config.kvGeometry(encoding).map { $0.bytesPerToken * $0.encoding.blockTokens }.max() ?? 0
        var pageBytes = 1 << 10
        while pageBytes < largest { pageBytes *= 2 }
        var cache = try PagedKVCache(
            config: model.config, encoding: encoding, pageBytes: pageBytes, tokens: ids.count, chunk: 256)
        cache.add(0)
        for start in stride(from: 0, to: ids.count, by: 256) {
            let part = Array(ids[start..<min(start + 256, ids.count)])
            _ = model.logits(RaggedBatch(sequences: [0], counts: [part.count], tokens: part), cache: &cache)
        }
        let held = cache.bytesHeld
        return MeasuredCache(tokens: cache.length(of: 0), logicalBytes: held.logical, allocatedBytes: held.allocated)
    }
}
