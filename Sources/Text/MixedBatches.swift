import Random

/// Training batches from several token streams by weight, as a pure function of the seed and the samples' global indices.
///
/// Of each thousand samples every stream has its share, rounded to whole samples, in an order drawn with the seed; a stream's own samples
/// come in the order of its ``TokenBatches``, again from the start once all have been seen. So ranks, gradient accumulation and a
/// resumed run all see the same data, whatever came before.
///
///     shares 0.6, 0.4    streams  A B A A B | B A A B A      five in place of a thousand
///                        samples  0 0 1 2 1 | 2 3 4 3 5
public struct MixedBatches: Sendable {
    /// Samples in which the shares are whole.
    public static let block = 1000

    /// Samples of each stream in a block.
    let quotas: [Int]
    private let parts: [TokenBatches]
    private let seed: UInt64

    /// Samples of an epoch of all streams together.
    public var windowsPerEpoch: Int { parts.reduce(0) { $0 + $1.windowsPerEpoch } }

    /// The seed of the stream `index` of a mixture with `seed`.
    public static func seed(_ seed: UInt64, stream index: Int) -> UInt64 {
        var generator = SeededGenerator(seed: seed, name: "mixture \(index)")
        return generator.next()
    }

    /// A mixture of `parts`, all of one sequence length and packing, with `weights` that need not sum to 1.
    ///
    /// Precondition: as many weights as parts, and every share at least a thousandth.
    public init(_ parts: [TokenBatches], weights: [Double], seed: UInt64) {
        precondition(
            !parts.isEmpty && parts.count == weights.count, "MixedBatches: \(parts.count) streams, \(weights.count) weights")
        quotas = Self.quotas(weights)
        precondition(quotas.allSatisfy { $0 > 0 }, "MixedBatches: weights \(weights) give a stream no sample of \(Self.block)")
        self.parts = parts
        self.seed = seed
    }

    /// The samples with these global indices, tokens [samples, seq].
    public func batch(samples: Range<Int>) -> TokenBatch {
        var result = TokenBatch(batch: 0, seq: parts[0].seq, tokens: [], targets: [])
        for block in samples.lowerBound / Self.block...max(samples.lowerBound, samples.upperBound - 1) / Self.block {
            var next = quotas.map { $0 * block }
            for (place, stream) in order(block).enumerated() {
                defer { next[stream] += 1 }
                guard samples.contains(block * Self.block + place) else { continue }
                let sample = parts[stream].batch(samples: next[stream]..<next[stream] + 1)
                result.batch += 1
                result.tokens += sample.tokens
                result.targets += sample.targets
                if let keyStarts = sample.keyStarts { result.keyStarts = (result.keyStarts ?? []) + keyStarts }
            }
        }
        return result
    }

    /// The stream of each sample of a block.
    private func order(_ block: Int) -> [Int] {
        var generator = SeededGenerator(seed: seed, stream: 0x317, UInt64(block))
        return quotas.enumerated().flatMap { [Int](repeating: $0.offset, count: $0.element) }.shuffled(using: &generator)
    }

    /// Whole samples of a block for each weight, by largest remainders; of equal remainders the first is rounded up.
    static func quotas(_ weights: [Double]) -> [Int] {
        let sum = weights.reduce(0, +)
        let exact = weights.map { $0 / sum * Double(block) }
        var quotas = exact.map { Int($0) }
        let byRemainder = exact.indices.sorted {
            (exact[$1] - Double(quotas[$1]), $0) < (exact[$0] - Double(quotas[$0]), $1)
        }
        for index in byRemainder.prefix(max(0, block - quotas.reduce(0, +))) { quotas[index] += 1 }
        return quotas
    }
}
