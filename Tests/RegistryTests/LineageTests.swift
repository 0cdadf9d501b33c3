import Files
import Foundation
import TestSupport
import Testing

@testable import Registry

@Suite struct LineageTests {
    private let folders = RunFolders()

    @Test func `a lineage goes up to the eldest known ancestor and down to all that was made`() throws {
        try folders.run("child", name: "child")
        let parent = try folders.checkpoint("parent.h5", seed: 1, parent: String(repeating: "f", count: 64))
        try folders.checkpoint("copy.h5", seed: 9)
        let converted = try folders.checkpoint("converted.h5", seed: 2, parent: parent, conversion: "mean, 4 to 2 KV heads")
        let child = try folders.checkpoint("child/model.h5", seed: 3, parent: converted)
        try folders.checkpoint("sibling.h5", seed: 4, parent: parent)
        let grandchild = try folders.checkpoint("grandchild.h5", seed: 5, parent: child)
        let registry = try RunRegistry(root: folders.root)
        let model = try #require(try registry.model(of: try registry.run("child")))
        let tree = LineageTree(of: model, in: try registry.checkpoints())
        var line: [LineageTree.Node] = [tree.root]
        while let next = line.last?.children.first { line.append(next) }
        #expect(line.map(\.hash) == [String(repeating: "f", count: 64), parent, converted, child, grandchild])
        #expect(line.map(\.isSubject) == [false, false, false, true, false])
        #expect(line[0].paths.isEmpty && line[2].checkpoint?.conversion == "mean, 4 to 2 KV heads")
        #expect(tree.text.contains("→       \(child.prefix(12))  child/model.h5"))
        #expect(!tree.text.contains("sibling") && !tree.text.contains("copy"))
    }

    @Test func `a lineage in a circle is cut`() {
        func record(_ hash: String, _ parent: String) -> CheckpointRecord {
            CheckpointRecord(
                path: hash, hash: hash, parentHash: parent, steps: 0, tokensSeen: 0, parameters: 0, kvHeads: "", attention: "",
                kvBytesPerToken: 0, bytes: 0, stamp: "")
        }
        let circle = [record("a", "b"), record("b", "c"), record("c", "a")]
        let tree = LineageTree(of: circle[0], in: circle)
        #expect(tree.root.hash == "c" && tree.root.children.first?.hash == "b")
    }

    @Test func `cleaning up takes finished runs' training states and old temporary files, and nothing else`() throws {
        for path in ["done", "stopped", "held"] {
            try folders.run(path, name: path)
            try folders.checkpoint(path + "/checkpoint.h5", seed: 2)
        }
        for path in ["done", "held"] { try folders.checkpoint(path + "/model.h5", seed: 1) }
        for (name, age) in [("old", 7200.0), ("new", 0)] {
            let file = "stopped/.checkpoint.h5.\(name).kvlab-tmp"
            try folders.scratch.write([1, 2, 3], to: file)
            try FileManager.default.setAttributes(
                [.modificationDate: Date(timeIntervalSinceNow: -age)], ofItemAtPath: folders.scratch[file])
        }
        var lock: FileLock? = try FileLock(path: folders.scratch["held/lock"])
        let cleanup = try RunCleanup(try RunRegistry(root: folders.root))
        #expect(cleanup.items.map(\.path) == ["done/checkpoint.h5", "stopped/.checkpoint.h5.old.kvlab-tmp"])
        let before = folders.scratch.bytes("done/model.h5")
        #expect(try cleanup.delete() == cleanup.items && lock != nil)
        lock = nil
        let registry = try RunRegistry(root: folders.root)
        #expect(try registry.run("done").status == .finished && folders.scratch.bytes("done/model.h5") == before)
        #expect(try RunCleanup(registry).items.map(\.path) == ["held/checkpoint.h5"])
        #expect(FileManager.default.fileExists(atPath: folders.scratch["stopped/checkpoint.h5"]))
    }

    @Test func `a run that somebody takes before it is cleaned up is left alone`() throws {
        try folders.run("a", name: "a")
        try folders.checkpoint("a/checkpoint.h5", seed: 1)
        try folders.checkpoint("a/model.h5", seed: 1)
        let cleanup = try RunCleanup(try RunRegistry(root: folders.root))
        let lock = try FileLock(path: folders.scratch["a/lock"])
        #expect(try cleanup.items.count == 1 && cleanup.delete().isEmpty)
        withExtendedLifetime(lock) {}
    }
}
