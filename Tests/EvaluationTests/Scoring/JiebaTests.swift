import Files
import Foundation
import TestSupport
import Testing

@testable import Evaluation

@Suite struct JiebaTests {
    /// A copy of the fixture's small tables, with some files changed.
    private static func folder(_ changes: [String: String] = [:], names: [String] = names) throws -> ScratchDirectory {
        let scratch = ScratchDirectory()
        let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/jieba")
        for name in names {
            let bytes =
                try changes[name].map { Array($0.utf8) } ?? [UInt8](Data(contentsOf: fixtures.appendingPathComponent(name)))
            try scratch.write(bytes, to: name)
        }
        return scratch
    }

    private static let names = ["dict.txt", "prob_start.py", "prob_trans.py", "prob_emit.py"]

    @Test func `words are those of the dictionary, and of the model where it has none`() throws {
        let folder = try Self.folder()
        func words(_ text: String) throws -> [String] {
            try Jieba(folder: folder.path).words(PythonText(text)).map(\.string)
        }
        #expect(try words("我来到北京大学") == ["我", "来到", "北京大学"])
        // 网易 is in no dictionary, but likely by the model.
        #expect(try words("我来到网易的") == ["我", "来到", "网易", "的"])
        #expect(try words("北京，3.5% x\r\n\u{3000}!?") == ["北京", "，", "3.5%", " ", "x", "\r\n", "\u{3000}", "!", "?"])
        #expect(try words("") == [])
    }

    @Test(arguments: [
        ("dict.txt", "我 50\n来到\n", "/dict.txt: line 2: expected a word and its frequency from 0"),
        ("dict.txt", "我 -5\n", "/dict.txt: line 1: expected a word and its frequency from 0"),
        ("dict.txt", "我 0\n", "/dict.txt: line 1: expected at least one word with a frequency above 0"),
        ("prob_start.py", "P={'B': 1}", "/prob_start.py: line 1: no table of state 'E', or one of another form"),
        ("prob_start.py", "\nP={'B': x}", "/prob_start.py: line 2: expected a number, found 'x'"),
        ("prob_trans.py", "Q={}", "/prob_trans.py: line 1: expected 'P = …' at the start of a line"),
        ("prob_trans.py", "P={'B': {'E': {}}}", "/prob_trans.py: line 1: a dictionary two levels inside another"),
        (
            "prob_emit.py", "P={'B': {'\\x': 1}}",
            "/prob_emit.py: line 1: expected n, t, r, a quotation mark, or x, u or U and hexadecimal digits behind the backslash"
        ),
        ("prob_emit.py", "P={'B\n", "/prob_emit.py: line 1: a string that never ends"),
        ("prob_emit.py", "P={}\nx", "/prob_emit.py: line 2: expected the end of the file behind '}'"),
    ])
    func `a table of another form is named by file and line`(name: String, text: String, sentence: String) throws {
        let folder = try Self.folder([name: text])
        let error = #expect(throws: ScoringError.self) { try Jieba(folder: folder.path) }
        #expect(try #require(error).description == folder.path + sentence)
    }

    @Test func `a folder without the tables is refused, naming the file`() throws {
        let folder = try Self.folder(names: ["dict.txt"])
        let error = #expect(throws: FileError.self) { try Jieba(folder: folder.path) }
        #expect(
            try #require(error).description == "\(folder.path)/finalseg/prob_start.py: cannot open: No such file or directory")
    }
}
