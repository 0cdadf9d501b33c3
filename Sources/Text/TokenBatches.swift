import Random

/// Training batches from a token stream, as a pure function of the seed and the samples' global indices.
///
/// Each epoch cuts the stream into windows of `seq` + 1 tokens that overlap by one, from its own offset, and shuffles them; in
/// sequential order every epoch begins at the stream's first token.
/// Sample i of the whole training is window i mod n of epoch i / n in that order, so ranks, gradient accumulation and a resumed
/// run all see the same data.
///
///     tokens    0 1 2 3 4 5 6 7 8 9      seq 3, offset 1, so n = 2
///     window 0    1 2 3 → 2 3 4
///     window 1          4 5 6 → 5 6 7
public struct TokenBatches: Sendable {
    /// The visibility of other documents in a window.
    public enum Packing: String, Codable, Sendable, CaseIterable {
        /// Visible: attention crosses documents.
        case packed
        /// Masked: `keyStarts` is set, and the first token of a document is no target of the token before.
        case masked
        /// Masked, and each window begins with a document: the first that the window before it does not hold whole.
        case whole

        /// Whether attention ends at a document's beginning.
        var isMasked: Bool { self != .packed }
    }

    /// The order of an epoch's windows.
    public enum Order: String, Codable, Sendable, CaseIterable {
        /// Drawn with the seed, anew for each epoch.
        case shuffled
        /// The stream's own: a curriculum where the texts are sorted from easy to hard (Bengio et al. 2009).
        case sequential
    }

    /// Tokens in a sequence.
    public let seq: Int
    /// Samples of an epoch.
    public let windowsPerEpoch: Int

    private let stream: TokenStream
    private let seed: UInt64
    private let packing: Packing
    private let order: Order
    private let startingSample: Int
    private let offsets: Int
    /// The windows' first tokens, where they begin with documents.
    private let starts: [Int]?

    /// - Parameters:
    ///   - startingSample: added to every sample index: the first sample of a run that continues another's data.
    /// - Throws: ``TextError/tooFewTokens(have:seq:)`` where the stream is shorter than one window.
    public init(
        _ stream: TokenStream, seq: Int, seed: UInt64, packing: Packing = .packed, order: Order = .shuffled,
        startingSample: Int = 0
    ) throws(TextError) {
        precondition(seq >= 1 && startingSample >= 0, "TokenBatches: seq \(seq), startingSample \(startingSample)")
        guard stream.count > seq else { throw .tooFewTokens(have: stream.count, seq: seq) }
        self.stream = stream
        self.seq = seq
        self.seed = seed
        self.packing = packing
        self.order = order
        self.startingSample = startingSample
        starts = packing == .whole ? stream.wholeStarts(seq: seq) : nil
        if let starts {
            (windowsPerEpoch, offsets) = (starts.count, 1)
            return
        }
        // As many windows as any offset leaves, and at least one.
        windowsPerEpoch = max(1, (stream.count - seq) / seq)
        offsets = order == .sequential ? 1 : min(seq, stream.count - windowsPerEpoch * seq)
    }

    /// The samples with these global indices, tokens [samples, seq].
    public func batch(samples: Range<Int>) -> TokenBatch {
        var tokens: [Int32] = []
        var targets: [Int32] = []
        var keyStarts: [Int32] = []
        for sample in samples {
            let start = windowStart(sample)
            let ids = stream.ids(start..<start + seq + 1)
            tokens += ids.dropLast()
            targets += stream.targets(start + 1..<start + seq + 1)
            if packing.isMasked { keyStarts += stream.mask(start: start, seq: seq, targets: &targets) }
        }
        return TokenBatch(
            batch: samples.count, seq: seq, tokens: tokens, targets: targets, keyStarts: packing.isMasked ? keyStarts : nil)
    }

    /// The stream index of a sample's first token.
    func windowStart(_ sample: Int) -> Int {
        let (epoch, index) = (startingSample + sample).quotientAndRemainder(dividingBy: windowsPerEpoch)
        var generator = SeededGenerator(seed: seed, stream: UInt64(epoch))
        let offset = Int.random(in: 0..<offsets, using: &generator)
        let window =
            order == .sequential ? index : Permutation(count: windowsPerEpoch, key: generator.next())[index]
        return starts?[window] ?? offset + window * seq
    }
}

extension TokenStream {
    /// Masks attention between the documents of the window at `start`, whose targets are the last `seq` of `targets`: returns each
    /// position's first visible position, and ignores targets that begin another document.
    func mask(start: Int, seq: Int, targets: inout [Int32]) -> [Int32] {
        var keyStarts: [Int32] = []
        keyStarts.reserveCapacity(seq)
        var document = documentStart(of: start)
        let first = targets.count - seq
        for position in 0..<seq {
            keyStarts.append(Int32(max(0, document - start)))
            let next = start + position + 1
            guard next < count else { continue }
            let nextDocument = documentStart(of: next)
            if nextDocument != document { targets[first + position] = TokenBatch.ignored }
            document = nextDocument
        }
        return keyStarts
    }

    /// The first tokens of windows of `seq` + 1 tokens that begin with documents, of a stream longer than a window: each with the
    /// first document that the window before does not hold whole. Documents that begin in the last window begin none of their own.
    func wholeStarts(seq: Int) -> [Int] {
        var starts: [Int] = []
        var index = 0
        while index < documentStarts.count, documentStarts[index] + seq + 1 <= count {
            let end = documentStarts[index] + seq + 1
            starts.append(documentStarts[index])
            index += 1
            while index + 1 < documentStarts.count, documentStarts[index + 1] <= end { index += 1 }
        }
        return starts
    }
}
