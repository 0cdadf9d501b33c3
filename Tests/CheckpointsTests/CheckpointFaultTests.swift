import Checkpoints
import Files
import Foundation
import HDF5
import Kernels
import Models
import TestSupport
import Testing

/// Damage of every kind, and failure at every moment of a save.
@Suite struct CheckpointFaultTests {
    let scratch = ScratchDirectory()

    /// A sample: `make torture` flips one in every byte.
    @Test(arguments: [(false, 23), (true, 101)])
    func `a flipped bit in any byte is detected`(trained: Bool, stride step: Int) throws {
        let path = scratch["a.h5"]
        try TinyCheckpoint.make(trained: trained).save(to: path)
        let good = scratch.bytes("a.h5")
        let undetected = try ChangedBytes.unnoticed(in: path, at: stride(from: 0, to: good.count, by: step)) { index in
            do { _ = try Checkpoint.load(path) } catch {
                if !"\(error)".hasPrefix(path) { Issue.record("byte \(index): \(error)") }
                return true
            }
            return false
        }
        #expect(undetected.isEmpty)
        #expect(scratch.bytes("a.h5") == good)
    }

    @Test func `a flipped bit in a weight is named, and left alone where only the structure is asked for`() throws {
        try TinyCheckpoint.make().save(to: scratch["a.h5"])
        var bytes = scratch.bytes("a.h5")
        let value = TinyCheckpoint.make().parameters["lm_head.weight"]!.bytes
        let index = try #require(bytes.indices.first { bytes[$0...].starts(with: value) })
        bytes[index + 1] ^= 1
        try scratch.write(bytes, to: "a.h5")
        #expect(throws: CheckpointError.changed(path: scratch["a.h5"], part: "tensor 'lm_head.weight'")) {
            try Checkpoint.load(scratch["a.h5"])
        }
        _ = try Checkpoint.load(scratch["a.h5"], verify: .structure)
    }

    @Test func `a file cut anywhere or extended is refused`() throws {
        try TinyCheckpoint.make().save(to: scratch["a.h5"])
        let good = scratch.bytes("a.h5")
        for count in [0, 1, 15, 16, 103, 104, 511, 512, 600] + Array(stride(from: 1000, to: good.count, by: 997)) + [
            good.count - 1
        ] {
            try scratch.write(good[..<count], to: "b.h5")
            #expect(throws: (any Error).self) { try Checkpoint.load(scratch["b.h5"]) }
        }
        try scratch.write(good[..<(good.count - 1)], to: "b.h5")
        #expect(throws: CheckpointError.size(path: scratch["b.h5"], found: good.count - 1, expected: good.count)) {
            try Checkpoint.load(scratch["b.h5"])
        }
        try scratch.write(good + [0], to: "b.h5")
        #expect(throws: CheckpointError.size(path: scratch["b.h5"], found: good.count + 1, expected: good.count)) {
            try Checkpoint.load(scratch["b.h5"])
        }
    }

    @Test(arguments: [0, 512, 2048])
    func `an HDF5 file of another tool is refused by that name`(userBlock: Int) throws {
        let path = scratch["f.h5"]
        do {
            let file = try HDF5File.create(path: path, userBlock: userBlock)
            try file.setAttribute("format", to: "kvlab checkpoint")
            _ = try file.flush()
        }
        #expect(throws: CheckpointError.foreign(path: path)) { try Checkpoint.load(path) }
    }

    @Test func `other files are refused`() throws {
        try scratch.write(Array(repeating: UInt8(ascii: "x"), count: 5000), to: "x")
        #expect(throws: CheckpointError.notCheckpoint(path: scratch["x"])) { try Checkpoint.load(scratch["x"]) }
        try scratch.write([], to: "x")
        #expect(throws: FileError.empty(path: scratch["x"])) { try Checkpoint.load(scratch["x"]) }
    }

    @Test(arguments: AtomicFile.Stage.allCases)
    func `a save that fails at any stage leaves the old checkpoint or the new one`(stage: AtomicFile.Stage) throws {
        let old = try TinyCheckpoint.make().save(to: scratch["a.h5"])
        var changed = TinyCheckpoint.make()
        changed.lineage.steps += 1
        let failure = FileError.system(path: "a.h5", action: stage.rawValue, errno: EIO)
        #expect(throws: failure) {
            try changed.save(to: scratch["a.h5"]) { if $0 == stage { throw failure } }
        }
        let loaded = try Checkpoint.load(scratch["a.h5"])
        #expect((loaded.lineage.contentHash == old) == (stage != .syncDirectory))
        #expect(loaded.lineage.steps == (stage == .syncDirectory ? 11 : 10))
        #expect(scratch.names == ["a.h5"])
    }

    /// The tool itself in a process of its own, so that it can be limited and killed; it is built beside the tests.
    private static let tool: String = {
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return URL(fileURLWithPath: tests).deletingLastPathComponent().path + "/kvlab"
    }()
    private static let hasTool = FileManager.default.isExecutableFile(atPath: tool)

    /// A folder to import whose checkpoint takes about `megabytes`.
    private func writeFolder(megabytes: Int) throws {
        var checkpoint = TinyCheckpoint.make(trained: false)
        checkpoint.config.kvHeads = .all(1)
        checkpoint.config.vocabularySize = megabytes << 15
        checkpoint.parameters = Parameters()
        for (name, shape) in checkpoint.config.weightShapes {
            checkpoint.parameters[name] = Weight(shape: shape, storage: Storage(repeating: 0.5, count: shape.reduce(1, *)))
        }
        checkpoint.tokenizer = nil
        try HuggingFaceFolder.export(checkpoint, to: scratch["hf"])
    }

    @Test(.enabled(if: hasTool, "kvlab is not built beside the tests"))
    func `a disk that is full at any point is an error and leaves the old checkpoint`() throws {
        let old = try TinyCheckpoint.make().save(to: scratch["a.h5"])
        try writeFolder(megabytes: 1)
        // dash counts in blocks of 512 bytes; the whole file has a little more than 1 MiB.
        for blocks in [1, 2, 3, 5, 10, 100, 1000, 1030] {
            let result = try Python.execute(
                "/bin/sh",
                [
                    "-c", "ulimit -f \(blocks); exec \"$0\" import \"$1\" --force --out \"$2\"", Self.tool, scratch["hf"],
                    scratch["a.h5"],
                ])
            #expect(result.status == 1, "\(blocks) blocks: \(result.status) \(result.errors)")
            #expect(result.errors.contains("File too large"), "\(blocks) blocks: \(result.errors)")
            #expect(result.errors.contains(scratch["a.h5"]))
            #expect(try Checkpoint.load(scratch["a.h5"]).lineage.contentHash == old)
            #expect(scratch.names == ["a.h5", "hf"])
        }
    }

    @Test(.enabled(if: hasTool, "kvlab is not built beside the tests"))
    func `a kill at any moment of a save leaves the old checkpoint or the new one`() throws {
        let old = try TinyCheckpoint.make().save(to: scratch["a.h5"])
        try writeFolder(megabytes: 16)
        var outcomes: Set<String> = []
        for round in 0..<24 {
            try TinyCheckpoint.make().save(to: scratch["a.h5"])
            let process = Process()
            process.executableURL = URL(fileURLWithPath: Self.tool)
            process.arguments = ["import", scratch["hf"], "--force", "--out", scratch["a.h5"]]
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.run()
            usleep(UInt32(round * 4000))
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
            let hash = try Checkpoint.load(scratch["a.h5"]).lineage.contentHash
            outcomes.insert(hash == old ? "old" : "new")
        }
        #expect(outcomes.contains("old"))
        // The next save clears away what the killed ones left.
        try TinyCheckpoint.make().save(to: scratch["a.h5"])
        #expect(scratch.names == ["a.h5", "hf"])
    }
}
