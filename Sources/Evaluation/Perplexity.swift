import Autograd
import Glibc
import Models
import Text

/// The score of one window.
public struct WindowScore: Sendable, Equatable {
    /// Sum of the negative log-likelihoods in nats, added up in Float64.
    public var nll: Double
    /// Tokens scored.
    public var tokens: Int
    /// UTF-8 bytes of the text scored.
    public var bytes: Int

    /// A score by sums, not means, so that windows of any length add up to the text's score.
    public init(nll: Double, tokens: Int, bytes: Int) {
        self.nll = nll
        self.tokens = tokens
        self.bytes = bytes
    }
}

/// A model's perplexity on a text.
public struct PerplexityResult: Sendable {
    /// The score of each window, in order.
    public var windows: [WindowScore]
    /// Every scored token's negative log-likelihood in nats and the byte offset it ends at, in order.
    public var tokens: [(end: Int, nll: Float)]

    /// The result of `windows`, with the tokens' own likelihoods where available.
    public init(windows: [WindowScore], tokens: [(end: Int, nll: Float)] = []) {
        self.windows = windows
        self.tokens = tokens
    }

    /// Sum of the negative log-likelihoods in nats.
    public var nll: Double { windows.reduce(0) { $0 + $1.nll } }
    /// Tokens scored.
    public var tokensScored: Int { windows.reduce(0) { $0 + $1.tokens } }
    /// UTF-8 bytes of the text scored.
    public var bytesScored: Int { windows.reduce(0) { $0 + $1.bytes } }
    /// exp(Σ nll / tokens).
    public var perplexity: Double { exp(nll / Double(max(tokensScored, 1))) }
    /// Σ nll / (ln 2 · bytes).
    public var bitsPerByte: Double { nll / (M_LN2 * Double(max(bytesScored, 1))) }
}

/// Perplexity over windows, several at a time.
public enum Perplexity {
    /// Scores `windows` with `model`; `progress` gets the number of windows done. Every window must fit the model.
    ///
    /// The windows of a batch are padded at the end to the longest one's length, which changes nothing under causal attention.
    public static func evaluate(
        _ model: DecoderLM, _ windows: [EvaluationWindow], batchTokens: Int = 4096, progress: (Int) throws -> Void = { _ in }
    ) throws -> PerplexityResult {
        var result = PerplexityResult(windows: [], tokens: [])
        result.windows.reserveCapacity(windows.count)
        for batch in WindowBatch.batches(windows, tokens: batchTokens) {
            let losses = model.losses(batch.input, targets: batch.targets)
            for (row, window) in windows[batch.range].enumerated() {
                var nll = 0.0
                var scored = 0
                for (position, target) in window.targets.enumerated() where target >= 0 {
                    let loss = losses[row * batch.input.seq + position]
                    nll += Double(loss)
                    result.tokens.append((window.scoredEnds[scored], loss))
                    scored += 1
                }
                result.windows.append(WindowScore(nll: nll, tokens: window.scoredTokens, bytes: window.scoredBytes))
            }
            try progress(batch.range.upperBound)
        }
        return result
    }
}

/// Adjacent windows padded to one length.
struct WindowBatch {
    let range: Range<Int>
    let input: ModelInput
    /// Targets [batch, seq]; negative where no token is scored.
    let targets: [Int32]

    static func batches(_ windows: [EvaluationWindow], tokens: Int) -> some Sequence<WindowBatch> {
        sequence(state: 0) { start -> WindowBatch? in
            guard start < windows.count else { return nil }
            var end = start
            var longest = 0
            while end < windows.count {
                let next = max(longest, windows[end].inputs.count)
                guard end == start || next * (end - start + 1) <= tokens else { break }
                longest = next
                end += 1
            }
            defer { start = end }
            return WindowBatch(windows, start..<end, seq: longest)
        }
    }

    private init(_ windows: [EvaluationWindow], _ range: Range<Int>, seq: Int) {
        self.range = range
        var tokens: [Int32] = []
        var targets: [Int32] = []
        for window in windows[range] {
            let padding = seq - window.inputs.count
            tokens += window.inputs + [Int32](repeating: 0, count: padding)
            targets += window.targets + [Int32](repeating: TokenBatch.ignored, count: padding)
        }
        input = ModelInput(batch: range.count, seq: seq, tokens: tokens)
        self.targets = targets
    }
}
