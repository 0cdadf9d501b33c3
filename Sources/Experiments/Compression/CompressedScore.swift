import Evaluation
import Foundation

/// The figures of one model through one cache; in a sweep a file in the model's folder, named by the key of the measurement.
public struct CompressedScore: Codable, Sendable, Hashable {
    /// Sum of the scored tokens' negative log-likelihoods in nats, their number, and their UTF-8 bytes.
    var nll: Double, tokens: Int, bytes: Int
    /// For each window its nats, tokens and bytes, for paired differences; nil in files of earlier versions.
    var windows: [[Double]]?
    /// Mean of KL(parent ‖ this) over the scored tokens in nats, the parent's cache uncompressed in Float32.
    var klToParent: Double
    /// Slots at a window's end, a layer.
    var slotsKept: Double
    /// Tokens of the sequence that the figures below belong to.
    var contextTokens: Int
    /// The most bytes that it holds while it decodes, a token, and the part of them that lies beside the pages.
    var cacheBytesPerToken: Double, sidecarBytesPerToken: Double
    /// Bytes of the keys and values in its pages then, a token; nil in files of earlier versions.
    var logicalBytesPerToken: Double?
    /// Bytes of a page.
    var pageBytes: Int
    /// Tokens decoded a second.
    var tokensPerSecond: Double
    /// Sequences at their most bytes that a pool holds, and its bytes.
    var sequences: Int, memoryBytes: Int
    /// The machine that was timed.
    var machine: String
    /// When, UTC.
    var date: String

    /// exp(Σ nll / tokens).
    var perplexity: Double { exp(nll / Double(max(tokens, 1))) }
    /// Σ nll / (ln 2 · bytes).
    var bitsPerByte: Double { nll / (log(2) * Double(max(bytes, 1))) }

    /// The windows as an evaluation gives them; nil where they were not kept.
    var result: PerplexityResult? {
        guard let windows, windows.allSatisfy({ $0.count == 3 }) else { return nil }
        return PerplexityResult(windows: windows.map { WindowScore(nll: $0[0], tokens: Int($0[1]), bytes: Int($0[2])) })
    }
}
