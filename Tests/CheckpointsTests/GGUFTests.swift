import Files
import Foundation
import Kernels
import Models
import Random
import TestSupport
import Testing
import Text

@testable import Checkpoints

@Suite struct GGUFTests {
    let scratch = ScratchDirectory()

    private static func fixture(_ name: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures/" + name).path
    }

    @Test(arguments: GGMLType.allCases)
    func `blocks become the numbers that gguf's own code makes of them, bit for bit`(type: GGMLType) throws {
        let file = try GGUFFile(MappedFile(path: Self.fixture("blocks.gguf")))
        let name = "\(type)".uppercased()
        let found = try #require(file.weight(name)).float32().array()
        let expected = try #require(file.weight(name + ".expected")).float32().array()
        #expect(found.map(\.bitPattern) == expected.map(\.bitPattern))
        #expect(found.contains { $0 != 0 })
    }

    @Test func `numbers become the Q8_0 blocks that gguf's own code makes of them, byte for byte`() throws {
        let file = try GGUFFile(MappedFile(path: Self.fixture("blocks.gguf")))
        let values = try #require(file.weight("values")).float32().array()
        let expected = try #require(file.tensor("values.q8_0"))
        let bytes = try MappedFile(path: Self.fixture("blocks.gguf")).bytes(in: expected.range)
        #expect(GGMLBlocks.q8_0(values[...]) == bytes)
    }

    @Test(arguments: [true, false], [PerLayer.all(1), .each([2, 1])])
    func `an exported model is imported equal, bit for bit`(tied: Bool, kvHeads: PerLayer<Int>) throws {
        var checkpoint = TinyCheckpoint.make(trained: false)
        checkpoint.config.tiedEmbeddings = tied
        checkpoint.config.kvHeads = kvHeads
        checkpoint.config.headDim = .all(6)
        checkpoint.parameters = TinyCheckpoint.parameters(checkpoint.config)
        checkpoint.tokenizer = nil
        try GGUFExport.write(checkpoint, to: scratch["m.gguf"])
        let loaded = try ModelImport.load(scratch["m.gguf"])
        #expect(loaded.config == checkpoint.config)
        for name in checkpoint.config.weightShapes.map(\.name) {
            #expect(loaded.parameters[name]?.bytes == checkpoint.parameters[name]?.bytes, "\(name)")
        }
        // What was computed at reading is stored like any other weight.
        try loaded.save(to: scratch["m.h5"])
        let stored = try Checkpoint.load(scratch["m.h5"])
        for name in stored.parameters.names { #expect(stored.parameters[name]?.bytes == checkpoint.parameters[name]?.bytes) }
    }

    @Test func `the token that fills up batches goes out and comes in`() throws {
        try scratch.write(Array("in the beginning was the word, and the word was in the beginning".utf8), to: "text")
        let tokenizer = try BPETrainer.train(
            corpus: Corpus(paths: [scratch["text"]]), vocabularySize: 264, specialTokens: ["<end>", "<pad>"])
        var checkpoint = TinyCheckpoint.make(trained: false)
        checkpoint.config.vocabularySize = tokenizer.vocabularySize
        checkpoint.config.headDim = .all(6)
        checkpoint.parameters = TinyCheckpoint.parameters(checkpoint.config)
        checkpoint.tokenizer = tokenizer.serialized
        checkpoint.tokenIDs = TokenIDs(eos: [0])
        checkpoint.tokenIDs.specialTokens = ["pad_token": "<pad>"]
        #expect(try GGUFExport.write(checkpoint, to: scratch["m.gguf"]) == nil)
        let loaded = try ModelImport.load(scratch["m.gguf"])
        #expect(loaded.tokenIDs.specialTokens == ["pad_token": "<pad>"] && loaded.tokenIDs.eos == [0])
        checkpoint.tokenIDs.specialTokens = ["pad_token": "<none>"]
        try GGUFExport.write(checkpoint, to: scratch["m.gguf"])
        #expect(try ModelImport.load(scratch["m.gguf"]).tokenIDs.specialTokens == nil)
    }

    /// Scaled RoPE in every form, the settings of Llama 3.1 among them.
    static let scalings: [RopeScaling] = {
        var llama = RopeScaling(kind: .llama3, factor: 8, originalMaxSequence: 8192)
        (llama.lowFrequencyFactor, llama.highFrequencyFactor) = (1, 4)
        var small = RopeScaling(kind: .llama3, factor: 32, originalMaxSequence: 16)
        (small.lowFrequencyFactor, small.highFrequencyFactor) = (1, 4)
        var yarn = RopeScaling(kind: .yarn, factor: 4, originalMaxSequence: 16)
        var slow = yarn
        (slow.betaFast, slow.betaSlow, slow.attentionFactor) = (16, 2, 1.5)
        yarn.truncates = nil
        return [RopeScaling(kind: .linear, factor: 2.5), llama, small, yarn, slow]
    }()

    @Test(arguments: scalings) func `scaled RoPE and biases are imported as they were exported`(scaling: RopeScaling) throws {
        var checkpoint = TinyCheckpoint.make(trained: false)
        checkpoint.config.ropeScaling = scaling
        checkpoint.config.ropeTheta = scaling.originalMaxSequence == 8192 ? 500_000 : 10_000
        checkpoint.config.headDim = .all(scaling.originalMaxSequence == 8192 ? 128 : 16)
        (checkpoint.config.hasQueryKeyValueBias, checkpoint.config.hasOutputBias) = (true, true)
        checkpoint.config.hasFeedForwardBias = true
        checkpoint.parameters = TinyCheckpoint.parameters(checkpoint.config)
        checkpoint.tokenizer = nil
        try GGUFExport.write(checkpoint, to: scratch["m.gguf"])
        let loaded = try ModelImport.load(scratch["m.gguf"])
        var expected = checkpoint.config
        if let found = loaded.config.ropeScaling, let factor = found.attentionFactor {
            #expect(abs(factor - (scaling.attentionFactor ?? 0)) < 1e-6)
            expected.ropeScaling?.attentionFactor = factor
        }
        // A ratio of three settings is all that can be seen of them where few planes lie between.
        let dim = expected.headDim[0]
        let (found, wanted) = (loaded.config.ropeFrequencies(headDim: dim), expected.ropeFrequencies(headDim: dim))
        for (one, other) in zip(found, wanted) { #expect(abs(one / other - 1) < 3e-6) }
        if scaling.kind != .llama3 || scaling.originalMaxSequence == 8192 { #expect(loaded.config == expected) }
        for name in checkpoint.config.weightShapes.map(\.name) {
            #expect(loaded.parameters[name]?.bytes == checkpoint.parameters[name]?.bytes, "\(name)")
        }
    }

    @Test func `keys that change what llama.cpp computes are refused by name`() throws {
        var checkpoint = TinyCheckpoint.make(trained: false)
        checkpoint.tokenizer = nil
        checkpoint.config.kvHeads = .all(1)
        checkpoint.parameters = TinyCheckpoint.parameters(checkpoint.config)
        for (key, value) in [
            ("attention.causal", GGUFKeyValue.bool(false)), ("rope.scaling.type", .string("longrope")),
            ("rope.scale_linear", .float(2)), ("attention.sliding_window", .uint32(8)),
        ] {
            try GGUFExport.write(checkpoint, to: scratch["m.gguf"], keys: [("llama." + key, value)])
            let error = #expect(throws: ImportError.self) { try ModelImport.load(scratch["m.gguf"]) }
            #expect(error?.description.contains(key) == true)
        }
        // A factor without a type is linear scaling there.
        try GGUFExport.write(checkpoint, to: scratch["m.gguf"], keys: [("llama.rope.scaling.factor", .float(4))])
        #expect(try ModelImport.load(scratch["m.gguf"]).config.ropeScaling == RopeScaling(kind: .linear, factor: 4))
    }

    @Test func `long lists of numbers that nothing asks for are passed over`() throws {
        func word(_ value: Int, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
        func text(_ value: String) -> [UInt8] { word(value.utf8.count, 8) + Array(value.utf8) }
        // Two arrays, of a byte and of four bytes an element, then a key behind them.
        var bytes = GGUFFile.magic + word(3, 4) + word(0, 8) + word(3, 8)
        bytes += text("a.bytes") + word(9, 4) + word(0, 4) + word(1 << 20, 8) + [UInt8](repeating: 7, count: 1 << 20)
        bytes += text("a.words") + word(9, 4) + word(4, 4) + word(1 << 17, 8) + [UInt8](repeating: 7, count: 1 << 19)
        bytes += text("a.last") + word(4, 4) + word(42, 4)
        try scratch.write(bytes, to: "m.gguf")
        let file = try GGUFFile(MappedFile(path: scratch["m.gguf"]))
        #expect(file.metadata["a.bytes"] == .unread(1 << 20) && file.metadata["a.words"] == .unread(1 << 17))
        #expect(file.metadata["a.last"] == .integer(42))
        try scratch.write(bytes.dropLast(1 << 19), to: "m.gguf")
        #expect(throws: ImportError.self) { try GGUFFile(MappedFile(path: scratch["m.gguf"])) }
    }

    @Test(arguments: ElementType.allCases)
    func `matrices are rounded to the element type asked for, norms are not`(type: ElementType) throws {
        var checkpoint = TinyCheckpoint.make(trained: false)
        checkpoint.tokenizer = nil
        try GGUFExport.write(checkpoint, to: scratch["m.gguf"], precision: .plain(type))
        try checkpoint.save(to: scratch["m.h5"], elementType: type)
        let (found, expected) = (try ModelImport.load(scratch["m.gguf"]), try Checkpoint.load(scratch["m.h5"]))
        for name in found.parameters.names {
            let weight = try #require(found.parameters[name])
            if weight.shape.count == 1 {
                #expect(weight.bytes == checkpoint.parameters[name]?.bytes)
            } else {
                #expect(weight.elementType == type)
                #expect(weight.bytes == expected.parameters[name]?.bytes)
                #expect(weight.float32().array() == expected.parameters[name]?.float32().array())
            }
        }
    }

    @Test func `a Q8_0 export is within half a step of every number`() throws {
        var checkpoint = TinyCheckpoint.make(trained: false)
        checkpoint.config = TinyModel.config()
        checkpoint.parameters = TinyModel.parameters(checkpoint.config)
        checkpoint.tokenizer = nil
        try GGUFExport.write(checkpoint, to: scratch["m.gguf"], precision: .q8_0)
        let loaded = try ModelImport.load(scratch["m.gguf"])
        for name in loaded.parameters.names {
            let before = try #require(checkpoint.parameters[name]).float32().array()
            let after = try #require(loaded.parameters[name]).float32().array()
            let largest = before.map(abs).max() ?? 0
            for (one, other) in zip(before, after) { #expect(abs(one - other) <= largest / 127 * 0.51) }
        }
    }

    @Test func `a file cut anywhere in its header or data is refused`() throws {
        let bytes = try tiny()
        for length in stride(from: 0, to: bytes.count, by: 7) {
            try scratch.write(bytes[..<length], to: "cut.gguf")
            #expect(throws: (any Error).self) { try ModelImport.load(scratch["cut.gguf"]) }
        }
    }

    @Test func `changed bytes give a model or a clean error`() throws {
        let bytes = try tiny()
        var generator = SeededGenerator(seed: 3)
        var refused = 0
        for _ in 0..<2000 {
            var changed = bytes
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                changed[Int.random(in: 0..<1600, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            try scratch.write(changed, to: "x.gguf")
            do {
                let model = try ModelImport.load(scratch["x.gguf"])
                for name in model.parameters.names { _ = model.parameters[name]?.float32() }
            } catch { refused += 1 }
        }
        #expect(refused > 500)
    }

    private func tiny() throws -> [UInt8] {
        var checkpoint = TinyCheckpoint.make(trained: false)
        checkpoint.tokenizer = nil
        try GGUFExport.write(checkpoint, to: scratch["tiny.gguf"])
        return scratch.bytes("tiny.gguf")
    }

    @Test func `lengths, counts and offsets beyond the file are refused by name`() throws {
        func header(_ tensors: UInt64, _ keys: UInt64, _ rest: [UInt8] = []) -> [UInt8] {
            func word(_ value: UInt64, _ count: Int = 8) -> [UInt8] {
                (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
            }
            return GGUFFile.magic + word(3, 4) + word(tensors) + word(keys) + rest
        }
        func long(_ value: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
        func short(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
        let key = long(1) + [0x61]
        let cases: [([UInt8], String)] = [
            (header(.max, 0), "tensors"), (header(0, .max), "keys"), (header(0, 1, long(.max) + key + key), "claims"),
            (header(0, 1, key + short(99) + long(0)), "unknown type 99"),
            (header(0, 1, key + short(9) + short(9) + long(1)), "array of arrays"),
            (header(0, 1, key + short(9) + short(8) + long(1 << 25)), "values for 'a'"),
            (header(0, 2, key + short(7) + [1] + key + short(7) + [1]), "'a' twice"),
            (header(1, 0, key + short(9) + long(1)), "9 dimensions"),
            (header(1, 0, key + short(2) + long(1 << 40) + long(1 << 40) + short(0) + long(0)), "no file can hold"),
            (header(1, 0, key + short(1) + long(31) + short(8) + long(0)), "multiple of the 32"),
            (header(1, 0, key + short(1) + long(4) + short(0) + long(1 << 62)), "truncated"),
            (header(1, 0, key + short(1) + long(4) + short(99) + long(0)), "type 99"),
            (header(1, 0, key + short(1) + long(4) + short(0) + long(3)), "no multiple of 32"),
        ]
        for (bytes, text) in cases {
            try scratch.write(bytes, to: "x.gguf")
            let error = #expect(throws: ImportError.self) { try GGUFFile(MappedFile(path: scratch["x.gguf"])) }
            #expect(error?.description.contains(text) == true, "\(String(describing: error)), expected \(text)")
        }
    }

    @Test(.enabled(if: Python.has("gguf"), "python3 has no gguf module"))
    func `the gguf package reads an export and finds the same numbers`() throws {
        var checkpoint = TinyCheckpoint.make(trained: false)
        checkpoint.tokenizer = nil
        try GGUFExport.write(checkpoint, to: scratch["m.gguf"])
        let script = """
            import gguf, sys
            reader = gguf.GGUFReader(sys.argv[1])
            print(reader.get_field("deci.attention.head_count_kv").contents())
            for tensor in reader.tensors:
                if tensor.name == "blk.1.ffn_up.weight": print(tensor.data.tolist())
            """
        let result = try Python.run(script, [scratch["m.gguf"]])
        #expect(result.status == 0, "\(result.errors)")
        let lines = result.output.split(separator: "\n")
        #expect(lines.first == "[2, 1]")
        let numbers = lines.last?.split { "[], ".contains($0) }.compactMap { Double($0).map { Float($0) } }
        #expect(numbers == checkpoint.parameters["model.layers.1.mlp.up_proj.weight"]?.float32().array())
    }
}
