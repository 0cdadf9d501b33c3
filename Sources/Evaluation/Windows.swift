import Text

/// The cutting of a document's tokens into windows, each a separate input of the model.
///
///     tokens   0 1 2 3 4 5 6 7 8      window 4, stride 2
///     window 0 [0 1 2 3]              scores 0 1 2 3 (0 only after a BOS)
///     window 1     [2 3 4 5]          scores 4 5
///     window 2         [4 5 6 7]      scores 6 7
///     window 3             [6 7 8]    scores 8
///
/// Each token is scored exactly once, except tokens without a preceding one.
public struct WindowPolicy: Sendable, Hashable {
    /// The windows that begin with a beginning-of-sequence token.
    public enum BOS: String, Sendable, CaseIterable {
        /// Every window, so that all its tokens can be scored.
        case always
        /// A document's first window.
        case first
        /// No window: its first token is not scored and its bytes are not counted.
        case never
    }

    /// Text tokens of a window, without the BOS.
    public var window: Int
    /// Tokens between the starts of successive windows; at most `window`.
    public var stride: Int
    /// The windows that begin with a BOS.
    public var bos: BOS

    /// Windows of `window` text tokens, without overlap where `stride` is nil.
    ///
    /// Precondition: 1 ≤ stride ≤ window, so that no token falls between two windows.
    public init(window: Int = 256, stride: Int? = nil, bos: BOS) {
        precondition(
            window >= 1 && (stride ?? window) >= 1 && (stride ?? window) <= window, "WindowPolicy: stride outside 1...\(window)")
        self.window = window
        self.stride = stride ?? window
        self.bos = bos
    }
}

/// One window: the model's input and the tokens to score.
public struct EvaluationWindow: Sendable, Equatable {
    /// Input ids.
    public var inputs: [Int32]
    /// The target of each position, or ``TokenBatch/ignored``.
    public var targets: [Int32]
    /// Tokens scored.
    public var scoredTokens: Int
    /// UTF-8 bytes of the text scored.
    public var scoredBytes: Int
    /// The byte offset in the concatenated documents at which each scored token ends; in order.
    public var scoredEnds: [Int]
}

extension EvaluationWindow {
    /// The window with only the targets scored that positions from `first` on predict; nil where none is left.
    public func scored(from first: Int) -> EvaluationWindow? {
        let dropped = targets.prefix(max(0, first)).count { $0 >= 0 }
        guard dropped < scoredTokens, let end = scoredEnds.last else { return nil }
        guard dropped > 0 else { return self }
        var window = self
        for position in targets.indices.prefix(first) { window.targets[position] = TokenBatch.ignored }
        window.scoredTokens -= dropped
        window.scoredBytes = end - scoredEnds[dropped - 1]
        window.scoredEnds.removeFirst(dropped)
        return window
    }
}

extension WindowPolicy {
    /// The windows of `text` as encoded by `tokenizer`; windows without a scored token are left out.
    ///
    /// `bosID` is the BOS; with nil, `always` and `first` act as `never`.
    public func windows(_ text: EvaluationText, tokenizer: some Tokenizer, bosID: Int32?) -> [EvaluationWindow] {
        var offset = 0
        var lengths: [Int32: Int] = [:]
        return text.documents.flatMap { document in
            defer { offset += document.utf8.count }
            let ids = tokenizer.encode(document)
            var ends: [Int] = []
            ends.reserveCapacity(ids.count)
            var end = 0
            for id in ids {
                let length = lengths[id] ?? tokenizer.decode([id]).count
                lengths[id] = length
                end += length
                ends.append(end)
            }
            // A tokenizer that adds a space before a document decodes to more bytes than the document has. The surplus is
            // subtracted from the first tokens, so that the bytes add up to the text's.
            let surplus = end - document.utf8.count
            ends = ends.map { max(0, $0 - surplus) + offset }
            return windows(ids, ends: ends, start: offset, bosID: bosID)
        }
    }

    /// The windows of one document's ids, the bytes of token i running from ends[i − 1] (or `start`) to ends[i].
    func windows(_ ids: [Int32], ends: [Int], start: Int, bosID: Int32?) -> [EvaluationWindow] {
        var result: [EvaluationWindow] = []
        var scored = 0
        var begin = 0
        while scored < ids.count {
            let end = min(begin + window, ids.count)
            let marked = bosID != nil && (bos == .always || bos == .first && begin == 0)
            let inputs = (marked ? [bosID!] : []) + ids[begin..<end]
            // With a BOS position p predicts token begin + p, without one begin + p + 1; the last one predicts nothing.
            let shift = marked ? 0 : 1
            var targets = [Int32](repeating: TokenBatch.ignored, count: inputs.count - 1)
            let first = max(scored, begin + shift)
            for token in first..<max(first, end) { targets[token - begin - shift] = ids[token] }
            if first < end {
                let bytes = ends[end - 1] - (first == 0 ? start : ends[first - 1])
                result.append(
                    EvaluationWindow(
                        inputs: Array(inputs.dropLast()), targets: targets, scoredTokens: end - first, scoredBytes: bytes,
                        scoredEnds: Array(ends[first..<end])))
            }
            scored = end
            begin += stride
        }
        return result
    }
}
