import Testing

@testable import Text

@Suite struct TokenBatchesTests {
    private let stream = TokenStream(ids: Array(0..<103), documentStarts: [0, 7, 8, 50])

    @Test func `an epoch shows each window once and targets are the next tokens`() throws {
        let batches = try TokenBatches(stream, seq: 10, seed: 1)
        #expect(batches.windowsPerEpoch == 9)
        for epoch in 0..<5 {
            let batch = batches.batch(samples: epoch * 9..<(epoch + 1) * 9)
            let starts = (0..<9).map { Int(batch.tokens[$0 * 10]) }
            #expect(Set(starts).count == 9 && Set(starts.map { $0 % 10 }).count == 1)
            #expect(batch.targets == batch.tokens.map { $0 + 1 })
            #expect(batch.keyStarts == nil)
        }
        let orders = (0..<5).map { epoch in (0..<9).map { batches.windowStart(epoch * 9 + $0) } }
        #expect(Set(orders).count == 5)
    }

    @Test func `a sample depends on its global index alone`() throws {
        let batches = try TokenBatches(stream, seq: 10, seed: 1)
        let whole = batches.batch(samples: 18..<24)
        let parts = [batches.batch(samples: 18..<21), batches.batch(samples: 21..<24)]
        #expect(whole.tokens == parts[0].tokens + parts[1].tokens)
        #expect(try TokenBatches(stream, seq: 10, seed: 1, startingSample: 18).batch(samples: 0..<6) == whole)
        #expect(try TokenBatches(stream, seq: 10, seed: 2).batch(samples: 18..<24) != whole)
    }

    @Test func `sequential windows are those of the stream, one after the other, whatever the seed`() throws {
        let documents = TokenStream(ids: Array(0..<103), documentStarts: Array(stride(from: 0, to: 103, by: 7)))
        let cases: [(TokenBatches.Packing, [Int])] = [
            (.packed, Array(stride(from: 0, to: 90, by: 10))), (.whole, Array(stride(from: 0, to: 93, by: 7))),
        ]
        for (packing, starts) in cases {
            for seed: UInt64 in 1...2 {
                let batches = try TokenBatches(documents, seq: 10, seed: seed, packing: packing, order: .sequential)
                #expect(batches.windowsPerEpoch == starts.count)
                #expect((0..<2 * starts.count).map { batches.windowStart($0) } == starts + starts)
            }
        }
    }

    @Test func `windows of whole documents begin with the first that the window before cuts`() throws {
        // Documents of 3, 4, 12, 2, 3 and 6 tokens in windows of 9.
        let lengths = [3, 4, 12, 2, 3, 6]
        let starts = lengths.indices.map { lengths[..<$0].reduce(0, +) }
        let stream = TokenStream(ids: (0..<30).map(Int32.init), documentStarts: starts)
        let batches = try TokenBatches(stream, seq: 8, seed: 1, packing: .whole)
        // The third is longer than a window; behind the fourth and the fifth is no room for the last, and none behind it for a window.
        #expect(batches.windowsPerEpoch == 3)
        for epoch in 0..<3 {
            let windows = (0..<3).map { batches.windowStart(3 * epoch + $0) }
            #expect(windows.sorted() == [0, 7, 19])
        }
        let first = try #require((0..<3).first { batches.windowStart($0) == 0 })
        let batch = batches.batch(samples: first..<first + 1)
        #expect(batch.tokens == [0, 1, 2, 3, 4, 5, 6, 7] && batch.keyStarts == [0, 0, 0, 3, 3, 3, 3, 7])
        let ignored = TokenBatch.ignored
        #expect(batch.targets == [1, 2, ignored, 4, 5, 6, ignored, 8])
        #expect(throws: TextError.self) { try TokenBatches(stream, seq: 30, seed: 1, packing: .whole) }
    }

    @Test func `masked packing keeps documents apart`() throws {
        let short = TokenStream(ids: Array(0..<14), documentStarts: [0, 7, 8])
        let batches = try TokenBatches(short, seq: 8, seed: 1, packing: .masked)
        for sample in 0..<20 {
            let start = batches.windowStart(sample)
            let batch = batches.batch(samples: sample..<sample + 1)
            let documents = (start..<start + 9).map { short.documentStart(of: $0) }
            #expect(batch.keyStarts == documents.dropLast().map { Int32(max(0, $0 - start)) })
            for position in 0..<8 {
                let crosses = documents[position + 1] != documents[position]
                #expect(batch.targets[position] == (crosses ? TokenBatch.ignored : Int32(start + position + 1)))
            }
        }
    }

    @Test func `too little text for one window is refused`() throws {
        #expect(throws: TextError.tooFewTokens(have: 103, seq: 103)) { try TokenBatches(stream, seq: 103, seed: 1) }
        let one = try TokenBatches(stream, seq: 102, seed: 1)
        #expect(one.windowsPerEpoch == 1 && one.batch(samples: 5..<6).tokens == Array(0..<102))
    }

    @Test func `validation scores each token but the first once`() {
        for (seq, batch) in [(10, 3), (102, 2), (103, 2), (200, 1), (1, 50)] {
            let batches = ValidationBatches(stream, seq: seq, batch: batch)
            let scored = batches.flatMap { $0.targets.filter { $0 != TokenBatch.ignored } }
            #expect(scored == Array(1..<103))
            for batch in batches {
                for (token, target) in zip(batch.tokens, batch.targets) where target != TokenBatch.ignored {
                    #expect(target == token + 1)
                }
            }
        }
        #expect(ValidationBatches(stream, seq: 10, batch: 2, limit: 3).count == 3)
        #expect(ValidationBatches(TokenStream(ids: [4]), seq: 10, batch: 2).isEmpty)
        let masked = Array(ValidationBatches(stream, seq: 10, batch: 3, packing: .masked))
        #expect(masked.flatMap(\.targets).filter { $0 != TokenBatch.ignored }.count == 102 - 3)
    }

    @Test func `a permutation is one for every count`() {
        for count in Array(1...70) + [1000] {
            let permutation = Permutation(count: count, key: UInt64(count))
            #expect(Set((0..<count).map { permutation[$0] }) == Set(0..<count))
        }
    }

    private func mixture(_ weights: [Double], seed: UInt64 = 1, packing: TokenBatches.Packing = .packed) throws -> MixedBatches {
        let streams = weights.indices.map {
            TokenStream(ids: Array(Int32($0 * 1000)..<Int32($0 * 1000 + 103)), documentStarts: [0, 50])
        }
        let parts = try streams.enumerated().map {
            try TokenBatches($1, seq: 10, seed: MixedBatches.seed(seed, stream: $0), packing: packing)
        }
        return MixedBatches(parts, weights: weights, seed: seed)
    }

    @Test func `a mixture has each text's share of every thousand samples, in the order of the text's own samples`() throws {
        let mixed = try mixture([3, 1, 0.5])
        #expect(mixed.quotas == [667, 222, 111] && mixed.windowsPerEpoch == 27)
        let batch = mixed.batch(samples: 0..<2000)
        let streams = (0..<2000).map { Int(batch.tokens[$0 * 10]) / 1000 }
        for block in [0, 1000] {
            #expect((0..<3).map { stream in streams[block..<block + 1000].count { $0 == stream } } == mixed.quotas)
            // Drawn, not one text after the other.
            #expect(Set(streams[block..<block + 20]).count > 1)
        }
        #expect(streams[..<1000] != streams[1000...])
        for stream in 0..<3 {
            let ids = Array(Int32(stream * 1000)..<Int32(stream * 1000 + 103))
            let own = try TokenBatches(
                TokenStream(ids: ids, documentStarts: [0, 50]), seq: 10, seed: MixedBatches.seed(1, stream: stream)
            ).batch(samples: 0..<2 * mixed.quotas[stream])
            let drawn = streams.indices.filter { streams[$0] == stream }.flatMap { batch.tokens[$0 * 10..<$0 * 10 + 10] }
            #expect(drawn == own.tokens)
        }
    }

    @Test func `a mixed sample depends on the seed and its global index alone`() throws {
        for packing in TokenBatches.Packing.allCases {
            let mixed = try mixture([0.6, 0.4], packing: packing)
            let whole = mixed.batch(samples: 990..<1010)
            #expect(whole.batch == 20 && whole.tokens.count == 200 && (whole.keyStarts?.count == 200) == (packing != .packed))
            for cut in 991..<1010 {
                let parts = [
                    mixed.batch(samples: 990..<cut), try mixture([0.6, 0.4], packing: packing).batch(samples: cut..<1010),
                ]
                #expect(parts.flatMap(\.tokens) == whole.tokens && parts.flatMap(\.targets) == whole.targets)
                #expect(parts.flatMap { $0.keyStarts ?? [] } == whole.keyStarts ?? [])
            }
            #expect(try mixture([0.6, 0.4], seed: 2, packing: packing).batch(samples: 990..<1010) != whole)
        }
    }

    @Test(arguments: [
        ([1.0], [1000]), ([1, 1, 1], [334, 333, 333]), ([0.7, 0.3], [700, 300]), ([30, 10], [750, 250]), ([999, 1], [999, 1]),
        ([0.1, 0.2, 0.3, 0.4], [100, 200, 300, 400]), ([2, 3, 2], [286, 428, 286]),
    ])
    func `shares are rounded to whole samples that sum to a thousand`(weights: [Double], quotas: [Int]) {
        #expect(MixedBatches.quotas(weights) == quotas)
        #expect(MixedBatches.quotas(weights).reduce(0, +) == MixedBatches.block)
    }
}
