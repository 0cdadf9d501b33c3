import CKernels
import Foundation
import Testing

@testable import Kernels

/// Pages in plain memory, filled through the kernel's own store, and attention over them by the definition.
private struct PagedCase {
    let (kvHeads, group, keyDim, valueDim, slots): (Int, Int, Int, Int, Int)
    let element: Int32
    let tokens: Int
    let pages: [Int32]
    let pageBytes: Int
    var heads: Int { kvHeads * group }
    let keys: [Float]
    let values: [Float]

    init(kvHeads: Int, group: Int, keyDim: Int, valueDim: Int, slots: Int, element: Int32, tokens: Int) {
        (self.kvHeads, self.group, self.keyDim, self.valueDim, self.slots) = (kvHeads, group, keyDim, valueDim, slots)
        (self.element, self.tokens) = (element, tokens)
        let count = (tokens + slots - 1) / slots
        // Pages out of order, with gaps.
        pages = (0..<count).map { Int32((count - 1 - $0) * 2 + 1) }
        pageBytes = (kvHeads * slots * (keyDim + valueDim) * 4 + 63) / 64 * 64
        keys = random(tokens * kvHeads * keyDim, seed: 3, in: -2...2)
        values = random(tokens * kvHeads * valueDim, seed: 4, in: -2...2)
    }

    /// What a stored element reads as.
    func stored(_ x: Float) -> Double {
        switch element {
        case 0: Double(x)
        case 1: Double(Float(bitPattern: ((x.bitPattern + 0x7FFF + (x.bitPattern >> 16 & 1)) >> 16) << 16))
        default: Double(Float16(x))
        }
    }

    func memory(_ table: kk_table) -> [UInt8] {
        var memory = [UInt8](repeating: 0xFF, count: (2 * pages.count + 1) * pageBytes)
        with(&memory) { cache in
            for t in 0..<tokens {
                keys.withUnsafeBufferPointer { k in
                    values.withUnsafeBufferPointer { v in
                        table.paged.store(
                            &cache, Int64(t), k.baseAddress! + t * kvHeads * keyDim, v.baseAddress! + t * kvHeads * valueDim)
                    }
                }
            }
        }
        return memory
    }

    func with(_ memory: inout [UInt8], _ body: (inout kk_pages) -> Void) {
        memory.withUnsafeMutableBufferPointer { memory in
            pages.withUnsafeBufferPointer { pages in
                var cache = kk_pages(
                    memory: memory.baseAddress!, pageBytes: Int64(pageBytes), tokensPerPage: Int64(slots),
                    kvHeads: Int64(kvHeads), keyDim: Int64(keyDim), valueDim: Int64(valueDim), keyElement: element,
                    valueElement: element, valuesAreKeys: 0, pages: pages.baseAddress!)
                body(&cache)
            }
        }
    }

    /// Output [heads, valueDim], log-sum-exp [heads] and weights [heads][tokens] for one query over tokens [from, to).
    func expected(_ q: ArraySlice<Float>, _ from: Int, _ to: Int, scale: Double) -> (
        output: [Double], lse: [Double], mass: [Double]
    ) {
        var output = [Double](repeating: 0, count: heads * valueDim)
        var lse: [Double] = []
        var mass = [Double](repeating: 0, count: max(0, to - from))
        for head in 0..<heads {
            let kv = head / group
            let scores = (from..<max(from, to)).map { t in
                var sum = 0.0
                for i in 0..<keyDim {
                    sum += Double(q[q.startIndex + head * keyDim + i]) * stored(keys[(t * kvHeads + kv) * keyDim + i])
                }
                return sum * scale
            }
            let top = scores.max() ?? -.infinity
            let total = scores.reduce(0) { $0 + exp($1 - top) }
            lse.append(scores.isEmpty ? -.infinity : top + log(total))
            for (offset, score) in scores.enumerated() {
                let weight = exp(score - top) / total
                mass[offset] += weight
                for i in 0..<valueDim {
                    output[head * valueDim + i] += weight * stored(values[((from + offset) * kvHeads + kv) * valueDim + i])
                }
            }
        }
        return (output, lse, mass)
    }
}

@Suite struct PagedAttentionTests {
    static let shapes: [(Int, Int, Int, Int)] = [
        // kvHeads, group, keyDim, valueDim
        (2, 1, 64, 64), (1, 8, 64, 64), (2, 3, 12, 20), (1, 7, 40, 16), (1, 2, 128, 128), (3, 1, 8, 4), (1, 4, 96, 72),
        (2, 9, 20, 12), (1, 22, 131, 100),
    ]

    @Test(arguments: shapes) func `single rows, blocks and their merged parts agree with the definition`(
        kvHeads: Int, group: Int, keyDim: Int, valueDim: Int
    ) {
        for element in 0...2 as ClosedRange<Int32> {
            for (tokens, slots) in [(1, 4), (5, 4), (16, 16), (37, 5), (256, 64), (301, 7), (301, 512)] {
                let it = PagedCase(
                    kvHeads: kvHeads, group: group, keyDim: keyDim, valueDim: valueDim, slots: slots, element: element,
                    tokens: tokens)
                for level in Level.all { check(it, level) }
            }
        }
    }

    private func check(_ it: PagedCase, _ level: Level) {
        let table = level.table
        var memory = it.memory(table)
        let rowCount = min(it.tokens, 37)
        let (stride, width) = (it.heads * it.keyDim + 3, it.heads * it.valueDim)
        let q = random(rowCount * stride, seed: 9, in: -1...1)
        let scale = 1 / Double(it.keyDim).squareRoot()
        // Rows see more and more of the sequence, the last all of it.
        let limits = (0..<rowCount).map { Int64(it.tokens - rowCount + $0 + 1) }
        let rows = (0..<rowCount).map { Int64($0) }
        let references = (0..<rowCount).map { it.expected(q[($0 * stride)...], 0, Int(limits[$0]), scale: scale) }
        let what =
            "\(level) \(it.kvHeads)×\(it.group) \(it.keyDim)/\(it.valueDim) element \(it.element), \(it.tokens) by \(it.slots)"
        // Sums of at most 301 terms of magnitude 2 in Float32.
        func same(_ found: [Float], _ expected: [Double]) -> Bool {
            zip(found, expected).allSatisfy { Double($0) == $1 || abs(Double($0) - $1) < 3e-5 }
        }
        var output = [Float](repeating: .nan, count: rowCount * width)
        var lse = [Float](repeating: .nan, count: rowCount * it.heads)
        it.with(&memory) { cache in
            q.withUnsafeBufferPointer { q in
                rows.withUnsafeBufferPointer { rows in
                    limits.withUnsafeBufferPointer { limits in
                        output.withUnsafeMutableBufferPointer { output in
                            lse.withUnsafeMutableBufferPointer { lse in
                                var job = kk_paged_attention()
                                job.cache = cache
                                job.heads = Int64(it.heads)
                                job.kvHeadCount = Int64(it.kvHeads)
                                job.to = .max
                                job.count = Int64(rowCount)
                                job.step = 1
                                job.qStride = Int64(stride)
                                job.scale = Float(scale)
                                job.q = q.baseAddress!
                                job.rows = rows.baseAddress!
                                job.limits = limits.baseAddress!
                                job.output = output.baseAddress!
                                job.logSumExp = lse.baseAddress!
                                blocks(&job, it, table)
                            }
                        }
                    }
                }
            }
        }
        for row in 0..<rowCount {
            #expect(same(Array(output[row * width..<(row + 1) * width]), references[row].output), "\(what), block row \(row)")
            #expect(same(Array(lse[row * it.heads..<(row + 1) * it.heads]), references[row].lse), "\(what), block row \(row)")
        }
        single(it, table, &memory, q, stride, scale, references[rowCount - 1], what)
    }

    private func blocks(_ job: inout kk_paged_attention, _ it: PagedCase, _ table: kk_table) {
        let count = Int(kk_paged_block_scratch(job.count, Int64(it.group), Int64(it.keyDim), Int64(it.valueDim)))
        var scratch = [Float](repeating: .nan, count: count) + [7]
        // One head at a time, as units are.
        for head in 0..<it.kvHeads {
            job.firstKvHead = Int64(head)
            job.kvHeadCount = 1
            table.paged.block(&job, &scratch)
        }
        #expect(scratch.last == 7)
    }

    /// The last row by spans, cut at a place of its own, merged; and the attention mass.
    private func single(
        _ it: PagedCase, _ table: kk_table, _ memory: inout [UInt8], _ q: [Float], _ stride: Int, _ scale: Double,
        _ expected: (output: [Double], lse: [Double], mass: [Double]), _ what: String
    ) {
        let row = [Int64(q.count / stride - 1)]
        let limit = [Int64(it.tokens)]
        let cuts = [0, it.tokens / 3, min(it.tokens, it.tokens / 3 + 256), it.tokens]
        let width = it.heads * it.valueDim
        var outputs = [Float](repeating: .nan, count: 3 * width)
        var sums = [Float](repeating: .nan, count: 3 * it.heads)
        var merged = [Float](repeating: .nan, count: width)
        var lse = [Float](repeating: .nan, count: it.heads)
        var mass = [Float](repeating: 0, count: it.tokens)
        var spread = mass
        let weights = UnsafeMutablePointer<Float>.allocate(capacity: it.heads * it.tokens)
        defer { weights.deallocate() }
        let count = kk_paged_row_scratch(Int64(it.kvHeads), Int64(it.group), Int64(it.keyDim), Int64(it.valueDim))
        var scratch = [Float](repeating: .nan, count: Int(count)) + [7]
        it.with(&memory) { cache in
            q.withUnsafeBufferPointer { q in
                row.withUnsafeBufferPointer { rows in
                    limit.withUnsafeBufferPointer { limits in
                        var job = kk_paged_attention()
                        job.cache = cache
                        job.heads = Int64(it.heads)
                        job.kvHeadCount = Int64(it.kvHeads)
                        job.count = 1
                        job.qStride = Int64(stride)
                        job.scale = Float(scale)
                        job.q = q.baseAddress!
                        job.rows = rows.baseAddress!
                        job.limits = limits.baseAddress!
                        job.weightsStride = Int64(it.tokens)
                        for part in 0..<3 {
                            job.from = Int64(cuts[part])
                            job.to = Int64(cuts[part + 1])
                            job.weights = weights + cuts[part]
                            outputs.withUnsafeMutableBufferPointer { outputs in
                                sums.withUnsafeMutableBufferPointer { sums in
                                    job.output = outputs.baseAddress! + part * width
                                    job.logSumExp = sums.baseAddress! + part * it.heads
                                    table.paged.row(&job, &scratch)
                                }
                            }
                        }
                        table.paged.merge(
                            3, outputs, Int64(width), sums, Int64(it.heads), Int64(it.heads), Int64(it.valueDim), &merged, &lse)
                        for part in 0..<3 {
                            job.from = Int64(cuts[part])
                            job.to = Int64(cuts[part + 1])
                            spread.withUnsafeMutableBufferPointer {
                                table.paged.spread(
                                    Int64(it.heads), Int64(max(0, cuts[part + 1] - cuts[part])), weights + cuts[part],
                                    Int64(it.tokens), sums.withUnsafeBufferPointer { $0.baseAddress! + part * it.heads }, lse,
                                    $0.baseAddress! + cuts[part])
                            }
                            mass.withUnsafeMutableBufferPointer {
                                table.paged.mass(&job, lse, $0.baseAddress! + cuts[part], &scratch)
                            }
                        }
                    }
                }
            }
        }
        #expect(scratch.last == 7)
        for (found, wanted) in [(merged, expected.output), (lse, expected.lse), (mass, expected.mass)] {
            let same = zip(found, wanted).allSatisfy { abs(Double($0) - $1) < 3e-5 }
            #expect(same && found.count == wanted.count, "\(what), merged spans")
        }
        #expect(spread == mass, "\(what), mass of the weights")
    }

    @Test func `halves are rounded to nearest even and widened exactly`() {
        // Every half, and Float32 values around and beyond them.
        var cases: [Float] = [
            0, -0.0, 1e-9, 5.9e-8, 6.1e-5, 65504, 65519.9, 65520, 1e9, -.infinity, .infinity, 2048.5, 1 + 0x1p-11,
        ]
        cases += random(400, seed: 1, in: -1e-6...1e-6) + random(400, seed: 2, in: -70_000...70_000)
        cases += (0..<UInt16(0x7C00)).filter { $0 % 7 == 0 }.map { Float(Float16(bitPattern: $0)) }
        for level in Level.all {
            for chunk in stride(from: 0, to: cases.count - 16, by: 16) {
                let values = Array(cases[chunk..<chunk + 16])
                var memory = [UInt8](repeating: 0, count: 64)
                let pages: [Int32] = [0]
                memory.withUnsafeMutableBufferPointer { memory in
                    pages.withUnsafeBufferPointer { pages in
                        var cache = kk_pages(
                            memory: memory.baseAddress!, pageBytes: 64, tokensPerPage: 1, kvHeads: 1, keyDim: 16, valueDim: 16,
                            keyElement: Int32(KK_ELEMENT_FP16.rawValue), valueElement: Int32(KK_ELEMENT_FP16.rawValue),
                            valuesAreKeys: 0, pages: pages.baseAddress!)
                        level.table.paged.store(&cache, 0, values, values)
                    }
                }
                for (index, value) in values.enumerated() {
                    let found = UInt16(memory[2 * index]) | UInt16(memory[2 * index + 1]) << 8
                    #expect(found == Float16(value).bitPattern, "\(level): \(value)")
                }
            }
        }
    }

    @Test func `results don't depend on the batch or the number of threads`() throws {
        let layout = try #require(PagedLayout(kvHeads: 2, keyDim: 32, valueDim: 32, encoding: .bfloat16, pageBytes: 2048))
        let kernel = PagedAttentionKernel(layout: layout, heads: 6)
        let memory = try #require(PageMemory(pages: 200, pageBytes: 2048))
        let lengths = [700, 3, 256, 40, 513]
        var sequences: [PagedSequence] = []
        var next: Int32 = 0
        for length in lengths {
            let count = layout.pages(tokens: length + 1)
            sequences.append(PagedSequence(pages: Array(next..<next + Int32(count)), held: length, count: 1))
            next += Int32(count)
        }
        func attend(_ sequences: [PagedSequence], seed: UInt64) -> [[Float]] {
            let rows = sequences.reduce(0) { $0 + $1.count }
            let qkv = Storage(copying: random(rows * kernel.rowWidth, seed: seed))
            let output = Storage(count: rows * 6 * 32)
            kernel.run(qkv: qkv, memory: memory, sequences: sequences, into: output, logSumExp: Storage(count: rows * 6))
            return (0..<rows).map { output.array($0 * 192..<($0 + 1) * 192) }
        }
        // Fill the pages by blocks, then decode all at once and one by one.
        for (index, sequence) in sequences.enumerated() {
            _ = attend([PagedSequence(pages: sequence.pages, held: 0, count: sequence.held)], seed: UInt64(index))
        }
        let together = attend(sequences, seed: 77)
        let qkv = random(5 * kernel.rowWidth, seed: 77)
        for (index, sequence) in sequences.enumerated() {
            let row = Storage(copying: Array(qkv[index * kernel.rowWidth..<(index + 1) * kernel.rowWidth]))
            let output = Storage(count: 192)
            kernel.run(qkv: row, memory: memory, sequences: [sequence], into: output, logSumExp: Storage(count: 6))
            #expect(output.array() == together[index])
        }
        // Ten rows are worked off a row a unit, one span by span: bit for bit the same.
        let ten = [sequences[0]] + (0..<9).map { PagedSequence(pages: sequences[4].pages, held: 300 + $0, count: 1) }
        #expect(attend(ten, seed: 5)[0] == attend([ten[0]], seed: 5)[0])
    }

    @Test(arguments: [(1, 8), (8, 1), (3, 2)]) func `a decoded token's attention is the same in pages of any size, bit for bit`(
        kvHeads: Int, group: Int
    ) throws {
        let tokens = 900
        // From two tokens in a page to one page for all.
        let outputs = try [1536, 4096, 16384, 1 << 21].map { pageBytes in
            let layout = try #require(
                PagedLayout(kvHeads: kvHeads, keyDim: 40, valueDim: 40, encoding: .float16, pageBytes: pageBytes))
            let kernel = PagedAttentionKernel(layout: layout, heads: kvHeads * group)
            let count = layout.pages(tokens: tokens + 1)
            let memory = try #require(PageMemory(pages: count, pageBytes: pageBytes))
            let pages = (0..<Int32(count)).reversed().map { $0 }
            let output = Storage(count: tokens * kernel.heads * 40)
            let logSumExp = Storage(count: tokens * kernel.heads)
            for (held, new) in [(0, tokens), (tokens, 1)] {
                let qkv = Storage(copying: random(new * kernel.rowWidth, seed: UInt64(new)))
                kernel.run(
                    qkv: qkv, memory: memory, sequences: [PagedSequence(pages: pages, held: held, count: new)], into: output,
                    logSumExp: logSumExp)
            }
            return output.array(0..<kernel.heads * 40) + logSumExp.array(0..<kernel.heads)
        }
        for output in outputs.dropFirst() { #expect(output == outputs[0]) }
    }

    @Test(arguments: [(1, 8), (8, 1), (2, 3)]) func `rows that share pages attend to them together, with the same result`(
        kvHeads: Int, group: Int
    ) throws {
        let layout = try #require(
            PagedLayout(kvHeads: kvHeads, keyDim: 32, valueDim: 32, encoding: .float16, pageBytes: 4096))
        var kernel = PagedAttentionKernel(layout: layout, heads: kvHeads * group)
        let memory = try #require(PageMemory(pages: 600, pageBytes: 4096))
        let width = kernel.heads * 32
        let slots = layout.tokensPerPage
        func attend(_ sequences: [PagedSequence], seed: UInt64) -> [[Float]] {
            let rows = sequences.reduce(0) { $0 + $1.count }
            let output = Storage(count: rows * width)
            kernel.run(
                qkv: Storage(copying: random(rows * kernel.rowWidth, seed: seed)), memory: memory, sequences: sequences,
                into: output, logSumExp: Storage(count: rows * kernel.heads))
            return (0..<rows).map { output.array($0 * width..<($0 + 1) * width) }
        }
        // A prefix of whole pages above a span's length, eleven sequences behind it of various lengths, and three without it.
        let prefix = (300 / slots + 1) * slots
        let shared = (0..<Int32(prefix / slots)).map { $0 }
        _ = attend([PagedSequence(pages: shared, held: 0, count: prefix)], seed: 1)
        var next = Int32(shared.count)
        let sequences = (0..<14).map { index -> PagedSequence in
            let isShared = index % 5 != 4
            let length = (isShared ? prefix : 70) + index * 37 % 290
            let own = layout.pages(tokens: length + 1) - (isShared ? shared.count : 0)
            defer { next += Int32(own) }
            return PagedSequence(pages: (isShared ? shared : []) + (next..<next + Int32(own)), held: length, count: 1)
        }
        for (index, sequence) in sequences.enumerated() {
            let start = sequence.pages.first == 0 ? prefix : 0
            guard sequence.held > start else { continue }
            _ = attend([PagedSequence(pages: sequence.pages, held: start, count: sequence.held - start)], seed: UInt64(index + 2))
        }
        let together = attend(sequences, seed: 99)
        kernel.sharesPrefixes = false
        let apart = attend(sequences, seed: 99)
        // Sums of up to 640 weights in another order.
        for (row, found) in together.enumerated() {
            #expect(zip(found, apart[row]).allSatisfy { abs($0 - $1) < 1e-5 }, "row \(row)")
        }
        #expect(together != apart)
    }
}

extension PagedAttentionKernel {
    /// Attention without plans made before.
    fileprivate func run(
        qkv: Storage, memory: PageMemory, sequences: [PagedSequence], into output: Storage, logSumExp: Storage
    ) {
        var plans = PagedPlans()
        run(
            qkv: qkv, memory: memory, batch: PagedBatch(sequences, layout: layout), plans: &plans, into: output,
            logSumExp: logSumExp)
    }
}
