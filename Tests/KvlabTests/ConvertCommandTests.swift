import Foundation
import TestSupport
import Testing

/// What `kvlab convert` says of a conversion's loss, and where it and its like write.
@Suite struct ConvertCommandTests {
    private let scratch = ScratchDirectory()

    private func run(_ arguments: String...) throws -> Tool.Outcome { try Tool.run(arguments, in: scratch.path) }

    @Test func `a conversion without calibration text warns with the expected loss and names the option`() throws {
        try scratch.trainTinyModel()
        let plain = try run("convert", "run/model.h5", "--kv-heads", "1", "--out", "a.h5")
        #expect(plain.status == 0, "\(plain.error)")
        #expect(
            plain.error.contains("without --calibration FILE the conversion goes by the weights alone; expected loss: "),
            "\(plain.error)")
        #expect(plain.output.contains("on 252 tokens that the parent wrote\nadvice: "), "\(plain.output)")
        // As many heads as before change nothing.
        let same = try run("convert", "run/model.h5", "--kv-heads", "4", "--out", "b.h5")
        #expect(same.status == 0 && same.error.isEmpty && !same.output.contains("loss"), "\(same.error)\(same.output)")
    }

    @Test func `a calibrated conversion ends in its loss on the held-out end of the text, and layers are shown on demand`() throws
    {
        try scratch.trainTinyModel()
        let arguments = ["convert", "run/model.h5", "--kv-heads", "2", "--method", "svd", "--calibration", "text.txt"]
        let shown = try Tool.run(arguments + ["--out", "a.h5"], in: scratch.path)
        let lines = shown.output.split(separator: "\n")
        #expect(shown.status == 0 && !shown.error.contains("held out"), "\(shown.error)")
        #expect(lines.suffix(2).map { $0.prefix(6) } == ["held-o", "advice"], "\(shown.output)")
        #expect(!shown.output.contains("K similarity"))
        let detailed = try Tool.run(arguments + ["--out", "b.h5", "--verbose"], in: scratch.path)
        #expect(
            detailed.output.contains("layer  KV heads  K similarity") && detailed.output.contains("1 where the scale is kept"))
        let json = try Tool.run(arguments + ["--out", "c.h5", "--json"], in: scratch.path).output
        let report = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
        let loss = try #require(report["loss"] as? [String: Any])
        #expect(loss["source"] as? String == "heldOut" && (loss["tokens"] as? Int ?? 0) > 1000)
        #expect((report["layers"] as? [Any])?.count == 2 && report["advice"] is String)
        // A text that can't spare a part is used whole.
        try scratch.write(scratch.bytes("text.txt").prefix(2100), to: "short.txt")
        let short = try run("convert", "run/model.h5", "--kv-heads", "2", "--calibration", "short.txt", "--out", "d.h5")
        #expect(short.status == 0 && short.error.contains("too short to hold a part out"), "\(short.error)")
    }

    @Test func `a file that is there is written over by force alone, and a place that can't be is refused before any work`()
        throws
    {
        try scratch.write(Array("precious".utf8), to: "there")
        let commands = [
            ["convert", "none.h5", "--kv-heads", "1"], ["import", "none"], ["export", "none.h5", "--format", "gguf"],
            ["tokenizer", "train", "--text", "none.txt"],
        ]
        for command in commands {
            let refused = try Tool.run(command + ["--out", "there"], in: scratch.path)
            #expect(
                refused.status != 0 && refused.error.contains("there is there already; --force writes over it"),
                "\(refused.error)")
            let nowhere = try Tool.run(command + ["--out", "no/x"], in: scratch.path)
            #expect(nowhere.status != 0 && nowhere.error.contains("no/x: there is no folder "), "\(nowhere.error)")
            // Then it is the missing input.
            let forced = try Tool.run(command + ["--force", "--out", "there"], in: scratch.path)
            #expect(forced.status != 0 && forced.error.contains("none"), "\(forced.error)")
        }
        #expect(scratch.bytes("there") == Array("precious".utf8))
        let folder = try run("export", "none.h5", "--format", "hf", "--force", "--out", "new")
        #expect(folder.status != 0 && folder.error.contains("--force writes over a file; hf makes a folder"), "\(folder.error)")
    }
}
