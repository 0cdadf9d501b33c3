import Checkpoints
import Files
import Foundation
import TestSupport
import Testing

@testable import Registry

@Suite struct RunRegistryTests {
    private let folders = RunFolders()

    private func registry(rebuild: Bool = false) throws -> RunRegistry { try RunRegistry(root: folders.root, rebuild: rebuild) }

    @Test func `runs are found at any depth, with what their metrics and models say`() throws {
        try folders.run("lab/parent", name: "parent")
        try folders.checkpoint("lab/parent/model.h5", seed: 3)
        try folders.run("other", name: "short", steps: 1)
        let registry = try registry()
        let runs = try registry.runs()
        #expect(runs.map(\.path) == ["lab/parent", "other"])
        #expect(runs.map(\.status) == [.finished, .stopped])
        #expect(runs.map(\.step) == [4, 1])
        #expect(runs[0].loss == 1 && runs[0].validationBitsPerByte == 0.5 && runs[0].tokensPerSecond == 300)
        #expect(runs[1].validationBitsPerByte == nil)
        let model = try #require(try registry.model(of: runs[0]))
        #expect(model.kvHeads == "2" && model.attention == "GQA-2" && model.steps == 3 && model.tokensSeen == 30)
        #expect(model.kvBytesPerToken == 2 * 2 * 2 * 12 * 2)
        #expect(try registry.model(of: runs[1]) == nil)
        #expect(try registry.validations(of: runs[0]).map(\.step) == [2, 4])
    }

    @Test func `the index follows its folders, and one made anew says the same`() throws {
        try folders.run("a", name: "a")
        try folders.run("b", name: "b", steps: 2)
        #expect(try registry().runs().map(\.path) == ["a", "b"])
        try folders.run("b", name: "b", steps: 6)
        try FileManager.default.removeItem(atPath: folders.scratch["a"])
        try folders.checkpoint("b/model.h5", seed: 1)
        let followed = try registry()
        #expect(try followed.runs().map(\.step) == [6])
        #expect(try followed.runs()[0].status == .finished)
        #expect(try followed.validations(of: try followed.run("b")).map(\.step) == [2, 4, 6])
        let (runs, checkpoints) = (try followed.runs(), try followed.checkpoints())
        try FileManager.default.removeItem(atPath: folders.scratch[RunRegistry.fileName])
        #expect(try registry().runs() == runs && registry().checkpoints() == checkpoints)
        #expect(try registry(rebuild: true).runs() == runs)
    }

    @Test(arguments: ["not a database at all", "SQLite format 3\0 and then nothing that fits"])
    func `a damaged index is made anew`(content: String) throws {
        try folders.run("a", name: "a")
        try folders.scratch.write(Array((content + String(repeating: "x", count: 4096)).utf8), to: RunRegistry.fileName)
        #expect(try registry().runs().map(\.name) == ["a"])
        #expect(try registry().runs().map(\.name) == ["a"])
    }

    @Test func `an index that cannot be written is kept in memory, and why is told`() throws {
        try folders.run("a", name: "a")
        #expect(try registry().indexProblem == nil)
        let path = folders.scratch[RunRegistry.fileName]
        try FileManager.default.removeItem(atPath: path)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        let registry = try registry()
        #expect(try registry.runs().map(\.name) == ["a"] && registry.checkpoints().isEmpty)
        #expect(registry.indexProblem == .unwritableIndex(path: path, reason: "unable to open database file"))
        #expect(
            registry.indexProblem?.description
                == "\(path): the index of the runs cannot be written: unable to open database file; every run folder was read "
                + "instead, which takes longer. Free space, or let this user write there")
        try folders.run("b", name: "b")
        #expect(try RunRegistry(root: folders.root).runs().map(\.name) == ["a", "b"])
    }

    @Test func `a run that a process holds is running`() throws {
        try folders.run("a", name: "a")
        try folders.checkpoint("a/model.h5", seed: 1)
        let lock = try FileLock(path: folders.scratch["a/lock"])
        #expect(try registry().runs()[0].status == .running)
        withExtendedLifetime(lock) {}
    }

    @Test func `a run is found by folder, end of folder, name or hash, and two of a name are told apart`() throws {
        try folders.run("lab/kv2", name: "two heads")
        try folders.run("old/kv2", name: "older")
        let hash = try folders.checkpoint("lab/kv2/model.h5", seed: 1)
        let registry = try registry()
        for name in ["lab/kv2", "lab/kv2/", folders.root + "/lab/kv2", "two heads", String(hash.prefix(8))] {
            #expect(try registry.run(name).path == "lab/kv2")
        }
        #expect(throws: RegistryError.ambiguousRun(name: "kv2", matches: ["lab/kv2", "old/kv2"])) { try registry.run("kv2") }
        #expect(throws: RegistryError.unknownRun(name: "kv9", root: folders.root, known: ["lab/kv2", "old/kv2"])) {
            try registry.run("kv9")
        }
        #expect(throws: RegistryError.noFolder(root: "nowhere")) { try RunRegistry(root: "nowhere/") }
    }

    @Test func `a checkpoint that can't be read says why and harms nothing else`() throws {
        try folders.run("a", name: "a")
        try folders.checkpoint("a/model.h5", seed: 1)
        try folders.scratch.write(Array("no checkpoint".utf8), to: "foreign.h5")
        let registry = try registry()
        let checkpoints = try registry.checkpoints()
        #expect(checkpoints.map(\.path) == ["a/model.h5", "foreign.h5"])
        #expect(checkpoints.map { $0.problem == nil } == [true, false])
        #expect(try registry.model(of: try registry.run("a")) != nil)
    }

    @Test(.timeLimit(.minutes(10))) func `pipes and links in place of a run's files hold nothing up`() throws {
        try folders.run("a", name: "a")
        for name in ["lock", "metrics.jsonl"] {
            try folders.folder("pipe-\(name)")
            try folders.folder("link-\(name)")
            for kind in ["pipe", "link"] {
                try folders.scratch.write(Array(#"{"name": "odd"}"#.utf8), to: "\(kind)-\(name)/recipe.json")
            }
            mkfifo(folders.scratch["pipe-\(name)/\(name)"], 0o600)
            symlink("/dev/zero", folders.scratch["link-\(name)/\(name)"])
        }
        let runs = try registry().runs()
        #expect(runs.map(\.name) == ["a", "odd", "odd", "odd", "odd"])
        #expect(runs.dropFirst().allSatisfy { $0.status == .stopped && $0.step == 0 })
    }

    @Test func `the difference of two runs is their recipes' values and the steps both were validated after`() throws {
        try folders.run("a", name: "same", steps: 4, rate: "0.001", bits: 2)
        try folders.run("b", name: "same", steps: 2, rate: "0.002", bits: 3)
        let registry = try registry()
        let difference = try RunDifference(try registry.run("a"), try registry.run("b"), in: registry)
        #expect(
            difference.recipe == [
                .init(key: "train.steps", first: "4", second: "2"),
                .init(key: "train.learningRate", first: "0.001", second: "0.002"),
            ])
        #expect(difference.validations == [.init(step: 2, first: 1, second: 1.5)])
        #expect(
            RunDifference.entries(#"{"x": [1]}"#, #"{"x": [1, null], "y": "z"}"#).map { "\($0.key) \($0.second ?? "")" }
                == ["x[1] null", "y \"z\""])
    }
}
