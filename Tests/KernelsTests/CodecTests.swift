import CKernels
import Foundation
import Random
import Testing

@testable import Kernels

extension KVCodec {
    fileprivate func encoded(_ vector: [Float]) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: bytes(dim: vector.count))
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        encode(vector.span, into: &raw)
        return bytes
    }

    fileprivate func decoded(_ bytes: [UInt8], dim: Int) -> [Float] {
        var vector = [Float](repeating: 0, count: dim)
        var span = vector.mutableSpan
        decode(bytes.span.bytes, into: &span)
        return vector
    }
}

/// A layer's cached tokens in plain memory, stored by one instruction level's kernels, and attention over them.
private struct StoredTokens {
    let layout: PagedLayout
    let group: Int
    let tokens: Int
    var memory: [UInt8]
    /// Pages out of order.
    let pages: [Int32]
    var heads: Int { layout.kvHeads * group }

    init(_ layout: PagedLayout, group: Int, tokens: Int) {
        (self.layout, self.group, self.tokens) = (layout, group, tokens)
        let count = layout.pages(tokens: tokens)
        pages = (0..<Int32(count)).reversed()
        memory = [UInt8](repeating: 0, count: count * layout.pageBytes)
    }

    mutating func withPages(_ body: (inout kk_pages) -> Void) {
        let (layout, pages) = (layout, pages)
        memory.withUnsafeMutableBufferPointer { memory in
            pages.withUnsafeBufferPointer { pages in
                var cache = layout.job(memory.baseAddress!, pages: pages.baseAddress!)
                body(&cache)
            }
        }
    }

    /// Stores keys [tokens, kvHeads, keyDim] and values [tokens, kvHeads, valueDim].
    mutating func store(_ table: kk_table, _ keys: [Float], _ values: [Float]) {
        let (keyWidth, valueWidth, tokens) = (layout.kvHeads * layout.keyDim, layout.kvHeads * layout.valueDim, tokens)
        withPages { cache in
            keys.withUnsafeBufferPointer { keys in
                values.withUnsafeBufferPointer { values in
                    for token in 0..<tokens {
                        table.paged.store(
                            &cache, Int64(token), keys.baseAddress! + token * keyWidth, values.baseAddress! + token * valueWidth)
                    }
                }
            }
        }
    }

    /// The same tokens as Float32 elements, decoded by the Swift codecs.
    var decoded: StoredTokens {
        let plain = PagedLayout(
            kvHeads: layout.kvHeads, keyDim: layout.keyDim, valueDim: layout.valueDim, valuesAreKeys: layout.valuesAreKeys,
            encoding: .float32, pageBytes: 1 << 16)!
        var result = StoredTokens(plain, group: group, tokens: tokens)
        for token in 0..<tokens {
            let (slot, place) = (token % layout.tokensPerPage, token % plain.tokensPerPage)
            let from = Int(pages[token / layout.tokensPerPage]) * layout.pageBytes
            let to = Int(result.pages[token / plain.tokensPerPage]) * plain.pageBytes
            func put(_ elements: [Float], at offset: Int) {
                elements.withUnsafeBytes { result.memory.replaceSubrange(to + offset..<to + offset + $0.count, with: $0) }
            }
            var page = Array(memory[from..<from + layout.pageBytes])
            page.withUnsafeMutableBufferPointer { page in
                for head in 0..<layout.kvHeads {
                    var key = [Float](repeating: 0, count: layout.keyDim)
                    var value = [Float](repeating: 0, count: layout.valueDim)
                    layout.decodeKeys(head: head, slot..<slot + 1, from: page.baseAddress!, into: &key)
                    layout.decodeValues(head: head, slot..<slot + 1, from: page.baseAddress!, into: &value)
                    put(key, at: plain.keyOffset(head: head, slot: place))
                    if !layout.valuesAreKeys { put(value, at: plain.valueOffset(head: head, slot: place)) }
                }
            }
        }
        return result
    }

    /// Encodes keys [tokens, kvHeads, keyDim] and values [tokens, kvHeads, valueDim] by the Swift codecs, in blocks of tokens.
    mutating func seal(_ keys: [Float], _ values: [Float]) {
        var (keys, values) = (keys, values)
        let (layout, pages, tokens) = (layout, pages, tokens)
        memory.withUnsafeMutableBufferPointer { memory in
            keys.withUnsafeMutableBufferPointer { keys in
                values.withUnsafeMutableBufferPointer { values in
                    for token in 0..<tokens {
                        let page = memory.baseAddress! + Int(pages[token / layout.tokensPerPage]) * layout.pageBytes
                        let slot = token % layout.tokensPerPage
                        for head in 0..<layout.kvHeads {
                            let first = token * layout.kvHeads + head
                            for part in layout.keyVectors(head: head, slot: slot) where slot % part.codec.blockTokens == 0 {
                                part.encode(
                                    keys.baseAddress! + first * layout.keyDim, pitch: layout.kvHeads * layout.keyDim, into: page)
                            }
                            for part in layout.valueVectors(head: head, slot: slot) {
                                part.encode(values.baseAddress! + first * layout.valueDim, into: page)
                            }
                        }
                    }
                }
            }
        }
    }

    /// Output, log-sum-exp and attention mass of one query [heads, keyDim] as a single row, and output and log-sum-exp as a block.
    mutating func attend(_ table: kk_table, _ q: [Float]) -> (row: [Float], block: [Float]) {
        let (outputs, heads, tokens, layout, group) = (heads * layout.valueDim, heads, tokens, layout, group)
        var row = [Float](repeating: .nan, count: outputs + heads) + [Float](repeating: 0, count: tokens)
        var block = [Float](repeating: .nan, count: outputs + heads)
        let (keyDim, valueDim) = (Int64(layout.keyDim), Int64(layout.valueDim))
        var rowScratch = [Float](
            repeating: .nan, count: Int(kk_paged_row_scratch(Int64(layout.kvHeads), Int64(group), keyDim, valueDim)))
        var blockScratch = [Float](repeating: .nan, count: Int(kk_paged_block_scratch(1, Int64(group), keyDim, valueDim)))
        (rowScratch, blockScratch) = (rowScratch + [7], blockScratch + [7])
        let (number, limit): ([Int64], [Int64]) = ([0], [Int64(tokens)])
        withPages { cache in
            q.withUnsafeBufferPointer { q in
                number.withUnsafeBufferPointer { number in
                    limit.withUnsafeBufferPointer { limit in
                        var job = kk_paged_attention()
                        (job.cache, job.heads, job.kvHeadCount) = (cache, Int64(heads), Int64(layout.kvHeads))
                        (job.to, job.count, job.step, job.qStride) = (Int64(tokens), 1, 1, Int64(q.count))
                        job.scale = 1 / Float(layout.keyDim).squareRoot()
                        (job.q, job.rows, job.limits) = (q.baseAddress!, number.baseAddress!, limit.baseAddress!)
                        row.withUnsafeMutableBufferPointer { row in
                            (job.output, job.logSumExp) = (row.baseAddress!, row.baseAddress! + outputs)
                            table.paged.row(&job, &rowScratch)
                            table.paged.mass(&job, job.logSumExp, row.baseAddress! + outputs + heads, &rowScratch)
                        }
                        block.withUnsafeMutableBufferPointer { block in
                            (job.output, job.logSumExp) = (block.baseAddress!, block.baseAddress! + outputs)
                            table.paged.block(&job, &blockScratch)
                        }
                    }
                }
            }
        }
        #expect(rowScratch.last == 7 && blockScratch.last == 7)
        return (row, block)
    }
}

@Suite struct CodecTests {
    static let encodings: [KVEncoding] = [.int8, .k8v4, .q8, .q4]
    /// kvHeads, group, keyDim, valueDim, valuesAreKeys: heads of several widths; groups that eights of queries serve and that they
    /// do not; latents.
    static let shapes: [(Int, Int, Int, Int, Bool)] = [
        (8, 1, 64, 64, false), (1, 8, 64, 64, false), (2, 3, 96, 160, false), (1, 7, 128, 32, false), (1, 12, 96, 64, true),
        (1, 2, 352, 320, true), (2, 2, 12, 22, false),
    ]

    private func layout(_ encoding: KVEncoding, _ shape: (Int, Int, Int, Int, Bool), slots: Int) -> PagedLayout? {
        let token = encoding.tokenBytes(kvHeads: shape.0, keyDim: shape.2, valueDim: shape.3, valuesAreKeys: shape.4)
        return PagedLayout(
            kvHeads: shape.0, keyDim: shape.2, valueDim: shape.3, valuesAreKeys: shape.4, encoding: encoding,
            pageBytes: (slots * token + 63) / 64 * 64)
    }

    /// Vectors of many magnitudes and offsets, and some at the borders of what scales can be.
    private func vectors(_ dim: Int) -> [[Float]] {
        var generator = SeededGenerator(seed: 26)
        var result = (0..<300).map { index in
            let (magnitude, offset) = (pow(10, Double(index % 13) - 7), Double(index / 13 % 5) * pow(10, Double(index % 7) - 3))
            return (0..<dim).map { _ in Float(offset + magnitude * (2 * generator.uniform() - 1)) }
        }
        for value in [0, -0.0, 1e-30, Float(bitPattern: 700), -3, 1000.3, 8e6, 9e6, 65504, -65504, -65505] as [Float] {
            result.append([Float](repeating: value, count: dim))
            result.append([value] + [Float](repeating: 0, count: dim - 1))
        }
        return result
    }

    @Test func `codes and scales of small vectors are as worked out by hand`() {
        // s = 127 / 127, and -63.5 goes to the even of its neighbours.
        let symmetric = SymmetricCodec().encoded([127, -63.5, 0.4, 1])
        #expect(symmetric == [127, UInt8(bitPattern: -64), 0, 1, 0x00, 0x3C])
        // m = -1, s = 15 / 15: codes 0, 1, 8 and 15, in the low halves of two bytes and in their high ones.
        let asymmetric = AsymmetricCodec().encoded([-1, 0, 6.5, 14])
        #expect(asymmetric == [0 | 8 << 4, 1 | 15 << 4, 0x00, 0x3C, 0x00, 0xBC])
        #expect(AsymmetricCodec().decoded(asymmetric, dim: 4) == [-1, 0, 7, 14])
        // s = 1 / 127 is between 2⁻⁷ + 8 · 2⁻¹⁷ and 2⁻⁷ + 9 · 2⁻¹⁷.
        #expect(SymmetricCodec().encoded([1]) == [127, 0x09, 0x20])
        // One byte more than half of an odd width could not be told from a code: such widths are refused.
        #expect(layout(.k8v4, (1, 1, 64, 63, false), slots: 4) == nil && layout(.q8, (1, 1, 48, 64, false), slots: 4) == nil)
        #expect(KVEncoding.q4.misfit(keyDim: 64, valueDim: 24)?.width == 24)
    }

    @Test func `elements are off by half a step at most, and decoded vectors encode to the same bytes`() {
        for (codec, scaleAt) in [(SymmetricCodec(), 64), (AsymmetricCodec(), 32)] as [(any KVCodec, Int)] {
            for vector in vectors(64) {
                let bytes = codec.encoded(vector)
                let decoded = codec.decoded(bytes, dim: 64)
                let scale = Float(Float16(bitPattern: UInt16(bytes[scaleAt]) | UInt16(bytes[scaleAt + 1]) << 8))
                guard !scale.isNaN else {
                    // Beyond what a scale or an offset in half precision can say.
                    let greatest: Float = codec is SymmetricCodec ? 127 * 65503 : 65503
                    let (isLost, isBeyond) = (decoded.allSatisfy(\.isNaN), vector.contains { abs($0) > greatest })
                    #expect(isLost && isBeyond)
                    continue
                }
                // Decoded sums are rounded to a Float themselves.
                var worst = 0.0
                for (x, y) in zip(vector, decoded) {
                    worst = max(worst, abs(Double(x) - Double(y)) - Double(abs(x)) * 0x1p-22)
                }
                let bound = Double(scale) / 2 * (1 + 0x1p-20)
                #expect(worst <= bound, "\(codec.name) \(vector[0])…: \(worst) of \(scale)")
                #expect(codec.encoded(decoded) == bytes, "\(codec.name) \(vector[0])…")
            }
        }
        for codec in [LlamaQ8Codec(), LlamaQ4Codec()] as [any KVCodec] {
            for vector in vectors(64) {
                let decoded = codec.decoded(codec.encoded(vector), dim: 64)
                let isLost = decoded.contains { !$0.isFinite }
                #expect(isLost || codec.decoded(codec.encoded(decoded), dim: 64) == decoded)
            }
        }
    }

    @Test func `a vector with an element that is not finite decodes to NaN`() {
        for codec in [SymmetricCodec(), AsymmetricCodec(), LlamaQ8Codec(), LlamaQ4Codec()] as [any KVCodec] {
            for wrong in [Float.nan, .infinity, -.infinity] {
                var vector = [Float](repeating: 0.5, count: 32)
                vector[17] = wrong
                let isLost = codec.decoded(codec.encoded(vector), dim: 32).allSatisfy { $0.isNaN }
                #expect(isLost, "\(codec.name) \(wrong)")
            }
        }
    }

    private struct LlamaBlocks: Decodable {
        var values: [[UInt32]]
        var q8_0: [String], q4_0: [String]
    }

    @Test func `llama.cpp's blocks have the codes and scales that llama.cpp gives them`() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        let data = try Data(contentsOf: folder.appendingPathComponent("Fixtures/llama_blocks.json"))
        let fixture = try JSONDecoder().decode(LlamaBlocks.self, from: data)
        #expect(fixture.values.count > 100)
        for (codec, blocks) in [(LlamaQ8Codec(), fixture.q8_0), (LlamaQ4Codec(), fixture.q4_0)] as [(any KVCodec, [String])] {
            for (values, block) in zip(fixture.values, blocks) {
                let bytes = codec.encoded(values.map { Float(bitPattern: $0) })
                // There a block's scale comes first.
                let found = (bytes.suffix(2) + bytes.dropLast(2)).map { String(format: "%02x", $0) }.joined()
                #expect(found == block, "\(codec.name) of \(Float(bitPattern: values[0]))…")
            }
        }
    }

    @Test(arguments: encodings) func `every instruction level stores the bytes of the Swift codecs`(encoding: KVEncoding) throws {
        for shape in Self.shapes {
            guard let layout = layout(encoding, shape, slots: 5), let portable = self.layout(encoding.portable, shape, slots: 5)
            else { continue }
            let (keys, values) = (vectors(shape.2), vectors(shape.3))
            let tokens = keys.count / shape.0
            // As rows without queries of their own: heads of one query, zeros.
            let memory = try #require(PageMemory(pages: layout.pages(tokens: tokens), pageBytes: layout.pageBytes))
            let kernel = PagedAttentionKernel(layout: portable, heads: shape.0)
            var (rows, keyRows, valueRows): ([Float], [Float], [Float]) = ([], [], [])
            for token in 0..<tokens {
                let heads = token * shape.0..<(token + 1) * shape.0
                let (key, value) = (heads.flatMap { keys[$0] }, heads.flatMap { values[$0] })
                rows += [Float](repeating: 0, count: key.count) + key + (shape.4 ? [] : value)
                (keyRows, valueRows) = (keyRows + key, valueRows + value)
            }
            kernel.encode(
                Storage(copying: rows),
                PagedBatch(
                    [PagedSequence(pages: (0..<Int32(memory.pages)).reversed(), held: 0, count: tokens)], layout: portable),
                memory)
            let expected = (0..<Int32(memory.pages)).flatMap { memory.bytes(of: $0) }
            for level in Level.all {
                var stored = StoredTokens(layout, group: 1, tokens: tokens)
                stored.store(level.table, keyRows, valueRows)
                let isSame = stored.memory == expected
                #expect(isSame, "\(level) \(shape)")
            }
        }
    }

    @Test(arguments: encodings) func `a slot is copied with its scales`(encoding: KVEncoding) throws {
        for shape in Self.shapes {
            guard let layout = layout(encoding, shape, slots: 5) else { continue }
            let tokens = 17
            var stored = StoredTokens(layout, group: 1, tokens: tokens)
            stored.store(
                Level.all[0].table, random(tokens * shape.0 * shape.2, seed: 5), random(tokens * shape.0 * shape.3, seed: 6))
            let memory = try #require(PageMemory(pages: 2 * stored.pages.count, pageBytes: layout.pageBytes))
            for page in stored.pages {
                let start = Int(page) * layout.pageBytes
                memory.write(stored.memory[start..<start + layout.pageBytes], to: page)
            }
            // All slots to pages of their own, from the last on: the same bytes.
            let copies = stored.pages.map { $0 + Int32(stored.pages.count) }
            for slot in (0..<tokens).reversed() {
                for head in 0..<shape.0 {
                    memory.copySlot(layout, head: head, from: slot, of: stored.pages, to: slot, of: copies)
                }
            }
            for (page, copy) in zip(stored.pages, copies) {
                #expect(memory.bytes(of: copy) == memory.bytes(of: page), "\(shape)")
            }
        }
    }

    @Test(arguments: encodings + [.kivi4, .kivi2, .int4])
    func `attention over codes is attention over decoded values at every instruction level`(encoding: KVEncoding) {
        let blocks = encoding.blockTokens > 1
        for (index, shape) in Self.shapes.enumerated() {
            for (tokens, slots) in blocks ? [(32, 32), (64, 64), (256, 32), (224, 96)] : [(1, 4), (37, 5), (256, 16), (201, 32)] {
                guard let layout = layout(encoding, shape, slots: slots) else { continue }
                let keys = random(tokens * shape.0 * shape.2, seed: 3, in: -2...2)
                let values = random(tokens * shape.0 * shape.3, seed: 4, in: -1...3)
                let q = random(shape.0 * shape.1 * shape.2, seed: 10 + UInt64(index), in: -1...1)
                var stored = StoredTokens(layout, group: shape.1, tokens: tokens)
                if blocks { stored.seal(keys, values) } else { stored.store(Level.all[0].table, keys, values) }
                var decoded = stored.decoded
                for level in Level.all {
                    let (found, expected) = (stored.attend(level.table, q), decoded.attend(level.table, q))
                    // In whole numbers a weight is off by 1/65534 of its span's largest at most: with values of magnitude 3, 256 of
                    // them, each off another way, by some 2e-4; queries, rounded likewise, add less.
                    let largest = zip(found.row, expected.row).map { abs($0 - $1) }.max() ?? .nan
                    #expect(largest < 5e-4, "\(level) \(shape), \(tokens) by \(slots): \(largest)")
                    // A block's codes are decoded: the same numbers, the same order.
                    let isSame = found.block == expected.block
                    #expect(isSame, "\(level) \(shape), \(tokens) by \(slots)")
                }
            }
        }
    }
}
