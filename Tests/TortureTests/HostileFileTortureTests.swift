import Checkpoints
import Foundation
import FuzzTargets
import Random
import TestSupport
import Testing

/// Promise 3: a hostile model file cannot hurt the process that opens it.
///
/// Sound checkpoints are damaged at random and given the seal that belongs to the damage, as who makes a file to do harm would; libhdf5
/// crashes, loops and swells on many of them. The tool is then used on folders of such files, with less address space than one of them would
/// take: it may neither crash nor hang, names each bad file, and goes on with the good ones.
@Suite(.serialized, .enabled(if: Tool.path != nil, "kvlab is not built beside the tests"))
struct HostileFileTortureTests {
    private let scratch = ScratchDirectory()

    /// KiB of address space that the tool gets: libhdf5 has taken 8 GB for one such file.
    private static let memory = 6_000_000

    /// How a run of the tool within the limits ended: -1 and less is a signal, -15 the end of patience.
    private struct Outcome {
        var status: Int32
        var output: String
        var error: String
    }

    private func kvlab(_ arguments: [String], seconds: Double = 120) throws -> Outcome {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments =
            ["-c", "ulimit -v \(Self.memory); exec timeout \(seconds) \"$0\" \"$@\"", try #require(Tool.path)] + arguments
        process.currentDirectoryURL = URL(fileURLWithPath: scratch.path)
        for name in ["stdout", "stderr"] { try scratch.write([], to: name) }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle(forWritingAtPath: scratch["stdout"])
        process.standardError = FileHandle(forWritingAtPath: scratch["stderr"])
        try process.run()
        process.waitUntilExit()
        return Outcome(
            // timeout's own way of saying that it had to end it, and of passing a signal on.
            status: process.terminationReason == .uncaughtSignal
                ? -process.terminationStatus
                : process.terminationStatus == 124
                    ? -15 : process.terminationStatus > 128 ? 128 - process.terminationStatus : process.terminationStatus,
            output: String(decoding: scratch.bytes("stdout"), as: UTF8.self),
            error: String(decoding: scratch.bytes("stderr"), as: UTF8.self))
    }

    private func folder(_ path: String) throws {
        try FileManager.default.createDirectory(atPath: scratch[path], withIntermediateDirectories: true)
    }

    /// Writes a text, a recipe and, with `lab`, a sweep of it, all of it small.
    private func recipe(lab: Bool = false) throws {
        let text = (0..<600).map { "line \($0 % 17) of \($0 % 5) and \($0 % 3)\n" }.joined()
        try scratch.write(Array(text.utf8), to: "text.txt")
        let sweep =
            #", "lab": {"sweep": {"kvHeads": [2, 1], "methods": ["mean"], "alphas": [0.5], "seeds": [1]}, "evaluation": {"window": 32, "contextTokens": 32}}"#
        try scratch.write(
            Array(
                """
                {"name": "tiny", "tokenizer": {"kind": "byte"}, "data": {"files": ["text.txt"]},
                 "model": {"dim": 16, "layers": 2, "heads": 4, "ffn": 24, "maxSeq": 64},
                 "train": {"steps": 4, "batch": 2, "seq": 32, "learningRate": 0.003, "checkpointEvery": 2}\(lab ? sweep : "")}
                """.utf8), to: "recipe.json")
    }

    /// Damaged files with the right seal, the same ones for the same name.
    private func forger(_ seeds: [[UInt8]], _ name: String) -> () -> [UInt8] {
        var mutator = Mutator(corpus: seeds, generator: SeededGenerator(seed: 23, name: name))
        return { CheckpointSeal.forged(mutator.next()) }
    }

    @Test func `runs list names every forged checkpoint and shows the good runs`() throws {
        try TinyCheckpoint.make().save(to: scratch["seed.h5"])
        let next = forger([scratch.bytes("seed.h5")], "runs list")
        // As many as one listing has time for.
        let count = Torture.count(120, limit: 400)
        for index in 0..<count {
            let run = "runs/bad-\(index)"
            try folder(run)
            try scratch.write(Array("{\"name\": \"bad \(index)\"}".utf8), to: run + "/recipe.json")
            // Who makes such a folder can make more than files.
            switch index % 4 {
            case 0: mkfifo(scratch[run + "/lock"], 0o600)
            case 1: symlink("/dev/zero", scratch[run + "/metrics.jsonl"])
            case 2: mkfifo(scratch[run + "/metrics.jsonl"], 0o600)
            default: try scratch.write([], to: run + "/lock")
            }
            try scratch.write(next(), to: run + (index % 2 == 0 ? "/model.h5" : "/checkpoint.h5"))
        }
        try folder("runs/good")
        try scratch.write(Array(#"{"name": "good"}"#.utf8), to: "runs/good/recipe.json")
        try scratch.write([], to: "runs/good/lock")
        let hash = try TinyCheckpoint.make(trained: false).save(to: scratch["runs/good/model.h5"])
        let listed = try kvlab(["runs", "list", "--json"])
        #expect(listed.status == 0, "\(listed.status) \(listed.error.suffix(2000))")
        let runs = try #require(try JSONSerialization.jsonObject(with: Data(listed.output.utf8)) as? [[String: Any]])
        #expect(runs.count == count + 1)
        let good = try #require(runs.first { $0["path"] as? String == "good" })
        #expect((good["model"] as? [String: Any])?["hash"] as? String == hash)
        let told = try kvlab(["runs", "list"])
        let warnings = told.error.split(separator: "\n").filter { $0.hasPrefix("warning: ") }
        #expect(told.status == 0 && warnings.count > count / 2, "\(told.status) \(warnings.count) \(told.error.prefix(2000))")
        #expect(warnings.allSatisfy { $0.contains("bad-") })
    }

    @Test func `inspect says of a forged checkpoint what is in it or what is wrong with it`() throws {
        try TinyCheckpoint.make().save(to: scratch["seed.h5"])
        let next = forger([scratch.bytes("seed.h5")], "inspect")
        var refused = 0
        let count = Torture.count(40, limit: 1500)
        for index in 0..<count {
            try scratch.write(next(), to: "x.h5")
            let outcome = try kvlab(["inspect", "x.h5"])
            #expect(outcome.status == 0 || outcome.status == 1, "file \(index): \(outcome)")
            if outcome.status == 1 {
                refused += 1
                #expect(outcome.error.hasPrefix("Error: x.h5: "), "file \(index): \(outcome.error)")
            }
        }
        #expect(refused > count / 3)
    }

    @Test func `a run whose checkpoint was forged is not resumed from it, and its folder still can be`() throws {
        try recipe()
        #expect(try kvlab(["train", "recipe.json", "--out", "run"]).status == 0)
        let good = scratch.bytes("run/checkpoint.h5")
        try FileManager.default.removeItem(atPath: scratch["run/model.h5"])
        let next = forger([good], "resume")
        var refused = 0
        let count = Torture.count(25, limit: 600)
        for index in 0..<count {
            try scratch.write(next(), to: "run/checkpoint.h5")
            let outcome = try kvlab(["train", "recipe.json", "--out", "run", "--resume"])
            #expect(outcome.status == 0 || outcome.status == 1, "file \(index): \(outcome)")
            if outcome.status == 1 { refused += 1 }
            try? FileManager.default.removeItem(atPath: scratch["run/model.h5"])
        }
        #expect(refused > count / 3)
        try scratch.write(good, to: "run/checkpoint.h5")
        let outcome = try kvlab(["train", "recipe.json", "--out", "run", "--resume"])
        #expect(outcome.status == 0, "\(outcome.error)")
    }

    @Test func `a sweep makes again the steps whose models were forged, and no others`() throws {
        try recipe(lab: true)
        let whole = try kvlab(["lab", "recipe.json", "--out", "sweep", "--json"])
        #expect(whole.status == 0, "\(whole.error.suffix(2000))")
        let folders = try FileManager.default.contentsOfDirectory(atPath: scratch["sweep/steps"]).filter {
            FileManager.default.fileExists(atPath: scratch["sweep/steps/\($0)/model.h5"])
        }.sorted()
        #expect(folders.count > 4)
        let good = folders.map { scratch.bytes("sweep/steps/\($0)/model.h5") }
        let next = forger(good, "sweep")
        for round in 0..<Torture.count(4, limit: 40) {
            // Of the parent all others are made: without it nothing is there.
            let forged = folders.indices.filter { ($0 + round) % 3 != 0 && !folders[$0].hasPrefix("parent") }
            for index in forged { try scratch.write(next(), to: "sweep/steps/\(folders[index])/model.h5") }
            let plan = try kvlab(["lab", "recipe.json", "--out", "sweep", "--dry-run"])
            #expect(plan.status == 0, "\(plan.error)")
            #expect(plan.output.split(separator: "\n").count { $0.hasPrefix("there") } >= 1, "\(plan.output)")
            #expect(plan.error.contains("to make again"), "\(plan.error)")
            for (index, bytes) in good.enumerated() { try scratch.write(bytes, to: "sweep/steps/\(folders[index])/model.h5") }
        }
        // And one is really made again.
        let parent = try #require(folders.first { $0.hasPrefix("kv1") || $0.hasPrefix("kv2") })
        try scratch.write(next(), to: "sweep/steps/\(parent)/model.h5")
        let again = try kvlab(["lab", "recipe.json", "--out", "sweep", "--json"])
        #expect(again.status == 0, "\(again.error.suffix(2000))")
    }
}
