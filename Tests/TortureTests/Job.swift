import Checkpoints
import Foundation
import Random
import TestSupport
import Testing

/// A command of the tool that is to be killed or to run out of disk, with all that it reads in a folder of its own.
///
/// Paths are relative to that folder, so that what two folders hold at the end can be compared byte for byte.
struct Job: Sendable, CustomStringConvertible {
    var description: String
    /// Writes the inputs into a folder.
    var prepare: @Sendable (_ folder: String) throws -> Void
    /// The arguments in a folder: those that go on where something is there already.
    var arguments: @Sendable (_ folder: String) -> [String]
    /// The file or folder that appears whole; nil for commands that go on from what they had.
    var product: String?

    /// What the folder holds by path, without figures of time; the lock, which says who held it, is left out.
    static func content(_ folder: String) throws -> [String: Data] {
        var content: [String: Data] = [:]
        let names = FileManager.default.enumerator(atPath: folder)
        while let name = names?.nextObject() as? String {
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: folder + "/" + name, isDirectory: &isFolder), !isFolder.boolValue,
                (name as NSString).lastPathComponent != "lock",
                let data = FileManager.default.contents(atPath: folder + "/" + name)
            else { continue }
            content[name] =
                ["json", "jsonl", "csv", "html"].contains((name as NSString).pathExtension) ? withoutTimes(data) : data
        }
        return content
    }

    private static func withoutTimes(_ data: Data) -> Data {
        var text = String(decoding: data, as: UTF8.self)
        for pattern in [
            // metrics.jsonl, step.json and results.json; a sweep's table; its report's dates and durations.
            #",?"(?:tokensPerSecond|seconds|finished|machine|date)" ?: ?(?:"[^"]*"|[-+.e0-9]+)"#,
            #",[-+.e0-9]+(?=,[^,\r\n]*,[0-9a-f]{64})"#, #"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]+Z"#,
            #"(?<=>)([0-9]+ (h|min|s) ?)+(?=<)"#,
        ] {
            text = text.replacingOccurrences(of: pattern, with: "", options: .regularExpression)
        }
        return Data(text.utf8)
    }

    /// Paths of temporary files in the folder.
    static func leftovers(_ folder: String) throws -> [String] {
        let names = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
        return names.filter { ($0 as NSString).lastPathComponent.contains("kvlab-tmp") }
    }

    /// Expects that the folder holds what an undisturbed run leaves, and nothing beside it.
    func expectFinished(_ folder: String, as whole: [String: Data], _ comment: String) throws {
        let found = try Self.content(folder)
        let different = Set(found.keys).union(whole.keys).filter { found[$0] != whole[$0] }.sorted()
        #expect(different.isEmpty, "\(self), \(comment): other than in an undisturbed run")
    }

    /// Expects that what was interrupted is the old or the new, and that every checkpoint can be read.
    func expectOldOrNew(_ folder: String, old: [String: Data], new: [String: Data], _ comment: String) throws {
        let found = try Self.content(folder).filter { !$0.key.contains("kvlab-tmp") }
        for name in found.keys where name.hasSuffix(".h5") {
            #expect(throws: Never.self, "\(self), \(comment): \(name)") { try Checkpoint.load(folder + "/" + name) }
        }
        guard let product else { return }
        func part(_ content: [String: Data]) -> [String: Data] {
            content.filter { $0.key == product || $0.key.hasPrefix(product + "/") }
        }
        #expect([part(old), part(new)].contains(part(found)), "\(self), \(comment): \(product) is neither the old nor the new")
    }
}

extension Job {
    private static func write(_ text: String, _ path: String) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: path)) }

    private static func recipe(_ folder: String, train: String, lab: String = "", dim: Int = 16) throws {
        try write((0..<600).map { "line \($0 % 17) of \($0 % 5) and \($0 % 3)\n" }.joined(), folder + "/text.txt")
        try write(
            """
            {"name": "tiny", "tokenizer": {"kind": "bpe", "vocabSize": 270}, "data": {"files": ["text.txt"]},
             "model": {"dim": \(dim), "layers": 2, "heads": 4, "ffn": 24, "maxSeq": 64},
             "train": {"threads": 1, "batch": 2, "seq": 32, "learningRate": 0.003, "validationSequences": 4, \(train)}\(lab)}
            """, folder + "/recipe.json")
    }

    private static func resuming(_ arguments: [String], where path: String) -> @Sendable (String) -> [String] {
        { arguments + (FileManager.default.fileExists(atPath: $0 + "/" + path) ? ["--resume"] : []) }
    }

    /// A run that writes a checkpoint after each step.
    static let train = Job(
        description: "train",
        prepare: {
            try recipe($0, train: #""steps": 24, "checkpointEvery": 1, "validateEvery": 8, "sampleEvery": 10, "sampleTokens": 4"#)
        },
        arguments: resuming(["train", "recipe.json", "--out", "run"], where: "run/checkpoint.h5"))

    /// A lab of one child, its control and their parent.
    static let lab = Job(
        description: "lab",
        prepare: {
            try recipe(
                $0, train: #""steps": 20, "checkpointEvery": 4"#,
                lab: #"""
                    , "lab": {"alpha": 0.2, "distill": {"weight": 0.3}, "children": [{"kvHeads": 1, "method": "first"}],
                     "evaluation": {"window": 32}}
                    """#)
        },
        arguments: { _ in ["lab", "recipe.json", "--out", "lab", "--resume"] })

    /// A sweep of one conversion, uptrained, its control and their parent.
    static let sweep = Job(
        description: "sweep",
        prepare: {
            try recipe(
                $0, train: #""steps": 20, "checkpointEvery": 2"#,
                lab: #"""
                    , "lab": {"sweep": {"kvHeads": [1], "methods": ["mean"], "alphas": [0.2], "seeds": [1], "scratch": false},
                     "evaluation": {"window": 32, "contextTokens": 64}}
                    """#)
        },
        arguments: { _ in ["lab", "recipe.json", "--out", "sweep"] })

    /// A model of a megabyte or two to convert, import and export, and an older file in the product's place.
    private static func model(_ folder: String, product: String?) throws {
        let cached = try models.get()
        for (name, data) in cached {
            let path = folder + "/" + name
            try FileManager.default.createDirectory(
                atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
            try data.write(to: URL(fileURLWithPath: path))
        }
        if let product { try cached["old.h5"]?.write(to: URL(fileURLWithPath: folder + "/" + product)) }
    }

    /// The model in the three forms that can be read, made once.
    private static let models: Result<[String: Data], any Error> = Result {
        let scratch = ScratchDirectory()
        try recipe(scratch.path, train: #""steps": 1"#, dim: 128)
        for arguments in [
            ["train", "recipe.json", "--out", "run"], ["export", "run/model.h5", "--format", "hf", "--out", "hf"],
            ["export", "run/model.h5", "--format", "gguf", "--out", "model.gguf"],
            ["convert", "run/model.h5", "--kv-heads", "2", "--method", "first", "--out", "old.h5"],
        ] {
            let outcome = try Tool.run(arguments, in: scratch.path)
            try #require(outcome.status == 0, "\(arguments): \(outcome.error)")
        }
        return try content(scratch.path).filter { name, _ in
            ["run/model.h5", "old.h5", "model.gguf", "text.txt"].contains(name) || name.hasPrefix("hf/")
        }
    }

    private static func once(_ arguments: [String], product: String, isFile: Bool = true) -> Job {
        Job(
            description: arguments.prefix { $0 != "--out" }.joined(separator: " "),
            prepare: { try model($0, product: isFile ? product : nil) },
            arguments: { folder in
                // A folder that is there is refused: it was made, then.
                if !isFile { try? FileManager.default.removeItem(atPath: folder + "/" + product) }
                return arguments
            }, product: product)
    }

    /// The commands that write one file or folder.
    static let writers = [
        once(
            ["convert", "run/model.h5", "--kv-heads", "1", "--method", "mean", "--force", "--out", "out.h5"], product: "out.h5"),
        once(["import", "hf", "--force", "--out", "out.h5"], product: "out.h5"),
        once(["import", "model.gguf", "--force", "--out", "out.h5"], product: "out.h5"),
        once(["export", "run/model.h5", "--format", "hf", "--out", "out"], product: "out", isFile: false),
        once(["export", "run/model.h5", "--format", "gguf", "--force", "--out", "out.gguf"], product: "out.gguf"),
        once(["export", "run/model.h5", "--format", "llama2c", "--out", "out"], product: "out", isFile: false),
        once(
            ["tokenizer", "train", "--text", "text.txt", "--vocab-size", "300", "--force", "--out", "out.json"],
            product: "out.json"),
    ]
}
