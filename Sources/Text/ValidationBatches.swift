/// Windows over a token stream in order, in which each token but the first is a target exactly once.
///
/// The last window is padded with ignored targets; the last batch has fewer sequences.
public struct ValidationBatches: RandomAccessCollection, Sendable {
    public let startIndex = 0
    public let endIndex: Int

    private let stream: TokenStream
    private let seq: Int
    private let batch: Int
    private let packing: TokenBatches.Packing

    /// - Parameters:
    ///   - batch: sequences a batch.
    ///   - limit: the most batches; all of them where nil.
    public init(
        _ stream: TokenStream, seq: Int, batch: Int, packing: TokenBatches.Packing = .packed, limit: Int? = nil
    ) {
        precondition(seq >= 1 && batch >= 1, "ValidationBatches: seq \(seq), batch \(batch)")
        self.stream = stream
        self.seq = seq
        self.batch = batch
        self.packing = packing
        let all = (Self.windows(stream, seq) + batch - 1) / batch
        endIndex = Swift.min(all, Swift.max(0, limit ?? all))
    }

    public subscript(index: Int) -> TokenBatch {
        precondition(indices.contains(index), "ValidationBatches: \(index) is outside \(indices)")
        let windows = index * batch..<Swift.min((index + 1) * batch, Self.windows(stream, seq))
        var tokens: [Int32] = []
        var targets: [Int32] = []
        var keyStarts: [Int32] = []
        for window in windows {
            let start = window * seq
            let ids = stream.ids(start..<Swift.min(start + seq + 1, stream.count))
            let padding = seq + 1 - ids.count
            tokens += ids.dropLast() + [Int32](repeating: ids[0], count: padding)
            targets += stream.targets(start + 1..<start + ids.count) + [Int32](repeating: TokenBatch.ignored, count: padding)
            if packing.isMasked { keyStarts += stream.mask(start: start, seq: seq, targets: &targets) }
        }
        return TokenBatch(
            batch: windows.count, seq: seq, tokens: tokens, targets: targets, keyStarts: packing.isMasked ? keyStarts : nil)
    }

    private static func windows(_ stream: TokenStream, _ seq: Int) -> Int {
        (Swift.max(stream.count, 1) - 1 + seq - 1) / seq
    }
}
