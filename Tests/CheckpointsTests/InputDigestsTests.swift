import Files
import Foundation
import TestSupport
import Testing

@testable import Checkpoints

@Suite struct InputDigestsTests {
    private let scratch = ScratchDirectory()

    private func file(_ key: String, _ text: String) -> InputDigests.Input {
        InputDigests.Input(key: key, path: key + ".txt", sha256: SHA256Digest(of: text), bytes: text.utf8.count)
    }

    @Test func `what changed is what both name with another digest`() throws {
        let before = InputDigests([file("data.files[0]", "a"), file("data.files[1]", "b"), file("tokenizer.path", "t")])
        let now = InputDigests([file("data.files[0]", "a"), file("data.files[1]", "c"), file("lab.evaluation.text", "e")])
        #expect(
            now.changes(since: before) == [
                InputDigests.Change(
                    key: "data.files[1]", path: "data.files[1].txt", recorded: SHA256Digest(of: "b").hex,
                    found: SHA256Digest(of: "c").hex)
            ])
        #expect(before.changes(since: before).isEmpty)
    }

    @Test func `a file's digest is that of its bytes, and an empty or absent file is an error`() throws {
        try scratch.write(Array("abc".utf8), to: "text")
        let input = try InputDigests.Input(key: "data.files[0]", file: scratch["text"])
        #expect(input.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" && input.bytes == 3)
        try scratch.write([], to: "empty")
        #expect(throws: FileError.empty(path: scratch["empty"])) { try InputDigests.Input(key: "k", file: scratch["empty"]) }
        #expect(throws: FileError.self) { try InputDigests.Input(key: "k", file: scratch["absent"]) }
    }

    @Test func `a lineage keeps digests and changes, and one without them is read as before`() throws {
        var checkpoint = TinyCheckpoint.make()
        let plain = try checkpoint.save(to: scratch["plain.h5"])
        #expect(try Checkpoint.load(scratch["plain.h5"]).lineage.inputs == nil)
        let model = InputDigests.Input(key: "init.checkpoint", model: "runs/a/model.h5", contentHash: plain)
        let inputs = InputDigests([file("data.files[0]", "a"), model])
        checkpoint.lineage.inputs = inputs.withoutModelPaths
        checkpoint.lineage.changedInputs = inputs.changes(since: InputDigests([file("data.files[0]", "b")]))
        try checkpoint.save(to: scratch["a.h5"])
        let lineage = try Checkpoint.load(scratch["a.h5"]).lineage
        #expect(lineage.inputs?.inputs.map(\.path) == ["data.files[0].txt", nil])
        #expect(lineage.inputs?.inputs.map(\.sha256) == [SHA256Digest(of: "a").hex, plain])
        #expect(lineage.inputs?.version == 1 && lineage.changedInputs == checkpoint.lineage.changedInputs)
        // The lineage of a checkpoint that an earlier kvlab wrote.
        let old = #"{"name":"tiny","recipe":"{}","steps":3,"tokensSeen":96,"toolVersion":"kvlab 0.1.0"}"#
        let read = try JSONDecoder().decode(Lineage.self, from: Data(old.utf8))
        #expect(read.steps == 3 && read.inputs == nil && read.changedInputs == nil)
    }

    @Test func `a model of another format goes by its parts, whatever its lineage says`() throws {
        var checkpoint = TinyCheckpoint.make()
        let identity = try checkpoint.identity()
        checkpoint.lineage.source = "a folder"
        checkpoint.trainingState = nil
        #expect(try checkpoint.identity() == identity)
        checkpoint.tokenIDs.bos = 3
        #expect(try checkpoint.identity() != identity)
        checkpoint.lineage.contentHash = "abc"
        #expect(try checkpoint.identity() == "abc")
    }
}
