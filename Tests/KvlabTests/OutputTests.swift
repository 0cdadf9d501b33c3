import Foundation
import TestSupport
import Testing

/// What the tool prints of what others wrote.
@Suite struct OutputTests {
    private let scratch = ScratchDirectory()

    @Test func `names from files cannot forge lines or act on the terminal, and JSON has them as they are`() throws {
        let name = "nice\u{1b}[2J\nother: finished at step 9"
        try FileManager.default.createDirectory(atPath: scratch["runs/a\nb\u{1b}c"], withIntermediateDirectories: true)
        let recipe = try JSONSerialization.data(withJSONObject: ["name": name, "train": ["note": "x\ny"]])
        try recipe.write(to: URL(fileURLWithPath: scratch["runs/a\nb\u{1b}c/recipe.json"]))
        try Data("{\"step\":1}\n".utf8).write(to: URL(fileURLWithPath: scratch["runs/a\nb\u{1b}c/metrics.jsonl"]))
        try FileManager.default.createDirectory(atPath: scratch["runs/z"], withIntermediateDirectories: true)
        try Data("{\"name\": \"z\"}\u{1b}[31m".utf8).write(to: URL(fileURLWithPath: scratch["runs/z/recipe.json"]))
        try Data("{\"step\":1}\n".utf8).write(to: URL(fileURLWithPath: scratch["runs/z/metrics.jsonl"]))
        let list = try Tool.run(["runs", "list"], in: scratch.path)
        #expect(list.status == 0 && list.output.contains(#"a\nb\u{1b}c"#), "\(list)")
        #expect(list.output.split(separator: "\n").count == 3)
        let show = try Tool.run(["runs", "show", name], in: scratch.path)
        #expect(show.output.hasPrefix(#"a\nb\u{1b}c: nice\u{1b}[2J\nother: finished at step 9, stopped at step 1"#), "\(show)")
        let raw = try Tool.run(["runs", "show", "z"], in: scratch.path)
        #expect(raw.output.contains(#"{"name": "z"}\u{1b}[31m"#), "\(raw)")
        let difference = try Tool.run(["runs", "diff", name, "z"], in: scratch.path)
        #expect(difference.output.contains(#"train.note:  "x\ny"  →  absent"#), "\(difference)")
        let unknown = try Tool.run(["runs", "show", "q\u{1b}[0m"], in: scratch.path)
        for output in [list.output, show.output, raw.output, difference.output, difference.error, unknown.error] {
            #expect(!output.unicodeScalars.contains("\u{1b}"))
        }
        let json = try Tool.run(["runs", "list", "--json"], in: scratch.path)
        let runs = try #require(try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [[String: Any]])
        #expect(runs.contains { $0["name"] as? String == name && $0["path"] as? String == "a\nb\u{1b}c" })
    }
}
