import Files
import Foundation
import TestSupport
import Testing

@testable import Text

/// Texts as users have them: JSON Lines, compressed files, folders and patterns.
@Suite struct TextSourceTests {
    private let scratch = ScratchDirectory()

    private func texts(_ corpus: Corpus) -> [String] { corpus.documents.map { corpus.text($0) } }

    private func refusal(_ source: TextSource, separator: String? = nil) -> String? {
        let error = #expect(throws: (any Error).self) { try Corpus([source], separator: separator) }
        return error.map { "\($0)".replacing(scratch.path + "/", with: "") }
    }

    /// The document of line `number` of `Fixtures/corpora/lines.jsonl.gz`.
    private static func line(_ number: Int) -> String {
        "Document \(number): " + String(repeating: "café ☕ 😀\n", count: 20) + "end"
    }

    @Test func `each line of JSON Lines is a document, as it is`() throws {
        let lines = """
            {"text": " one\\n", "n": 1}

            {"n": [{"text": "inner"}], "text": "tw\\u00f6 \\ud83d\\ude00"}
            {"text": ""}
            \t
            {"text":"three"}
            """
        let corpus = try Corpus(paths: [scratch.text("a.jsonl", "\u{feff}" + lines), scratch.text("b.txt", " plain ")])
        #expect(texts(corpus) == [" one\n", "twö 😀", "three", " plain "])
        #expect(corpus.documents.map { corpus.format(of: $0) } == [.jsonl, .jsonl, .jsonl, .text])
        #expect(corpus.contents[0].sha256 == SHA256Digest(of: "\u{feff}" + lines))
        #expect(corpus.contents[0].bytes == lines.utf8.count + 3)
        let named = try Corpus([TextSource(path: scratch.text("c.ndjson", #"{"text": "x", "body": "y"}"#), field: "body")])
        #expect(texts(named) == ["y"])
        #expect(named.selectionHash != (try Corpus(paths: [scratch["c.ndjson"]]).selectionHash))
    }

    @Test(arguments: ["lines.jsonl.gz", "lines.jsonl.zst"])
    func `compressed JSON Lines are read across buffers`(name: String) throws {
        let corpus = try Corpus(paths: [TokenizerFixtures.path("corpora/" + name)])
        #expect(corpus.documents.count == 8000)
        for (number, document) in corpus.documents.enumerated() where corpus.text(document) != Self.line(number) {
            Issue.record("line \(number)")
        }
    }

    @Test(arguments: ["text.txt.gz", "text.txt.zst"])
    func `a compressed text is the same text as the plain one`(name: String) throws {
        let text = (0..<8000).map { "Paragraph \($0): " + String(repeating: "café ", count: 20) + "\n\n" }.joined()
        let plain = try Corpus(paths: [scratch.text("plain", text)], separator: "\n\n")
        let corpus = try Corpus(paths: [TokenizerFixtures.path("corpora/" + name)], separator: "\n\n")
        #expect(texts(corpus) == texts(plain))
        #expect(corpus.contentHash == plain.contentHash && corpus.selectionHash == plain.selectionHash)
        #expect(corpus.contents[0].sha256 != plain.contents[0].sha256)
    }

    @Test func `a folder is all its files in the order of their paths, hidden ones aside`() throws {
        for (path, text) in [
            ("d/b.txt", "2"), ("d/a/z.txt", "1"), ("d/Z.txt", "0"), ("d/.hidden", "x"), ("d/c.jsonl", #"{"text": "3"}"#),
        ] {
            try FileManager.default.createDirectory(atPath: scratch["d/a"], withIntermediateDirectories: true)
            try scratch.write(Array(text.utf8), to: path)
        }
        try FileManager.default.createSymbolicLink(atPath: scratch["d/a/up"], withDestinationPath: scratch["d"])
        let corpus = try Corpus(paths: [scratch["d"]])
        #expect(texts(corpus) == ["0", "1", "2", "3"])
        #expect(corpus.contents.map(\.path) == [scratch["d"]] && corpus.contents[0].bytes == 3 + 13)
        #expect(texts(try Corpus(paths: [scratch["d/*.txt"]])) == ["0", "2"])
        #expect(texts(try Corpus(paths: [scratch["d/[cz]*"]])) == ["3"])
        // Another file changes the folder's digest.
        try scratch.write(Array("4".utf8), to: "d/d.txt")
        #expect(try Corpus(paths: [scratch["d"]]).contents[0].sha256 != corpus.contents[0].sha256)
    }

    @Test func `what is not there is named`() throws {
        try FileManager.default.createDirectory(atPath: scratch["empty/inner"], withIntermediateDirectories: true)
        #expect(
            refusal(TextSource(path: scratch["empty"]))
                == "empty: a folder without files; put text files into it, or name others")
        #expect(refusal(TextSource(path: scratch["*.txt"])) == "*.txt: no file matches the pattern")
        #expect(refusal(TextSource(path: scratch["**/a"]))?.contains("'**' is no part of a pattern") == true)
        #expect(refusal(TextSource(path: scratch["none.txt"])) == "none.txt: cannot open: No such file or directory")
    }

    @Test(arguments: [
        ("{\"text\": \"a\"}\n{\"text\": \n", "x.jsonl:2:10: not valid JSON: expected a value, found the end of the text"),
        (
            "{\"text\": \"a\"}\n\n[1]\n",
            "x.jsonl:3: the line is an array, expected an object a line; jq -c '.[]' makes lines of an array"
        ),
        ("7\n", "x.jsonl:1: the line is no object"),
        (
            "{\"body\": \"a\", \"id\": 1}",
            "x.jsonl:1: the line has no 'text', but 'body', 'id'; name the text's key with \"field\" in a recipe or --text-field"
        ),
        ("{\"text\": 3}", "x.jsonl:1: the line has a 'text' that is neither a string nor an array of messages"),
        ("\n{\"text\": \"\"}\n", "x.jsonl: no line has any text"),
        (
            "{\"text\": \"a\", \"text\": \"b\"}",
            "x.jsonl:1:15: not valid JSON: 'text' stands here a second time; the first is on line 1"
        ),
    ])
    func `broken lines are named by file and line`(lines: String, sentence: String) throws {
        #expect(refusal(TextSource(path: scratch.text("x.jsonl", lines))) == sentence)
    }

    @Test func `a line that is not UTF-8 is named`() throws {
        try scratch.write(Array("{\"text\": \"a\"}\n{\"text\": \"".utf8) + [0xff] + Array("\"}".utf8), to: "x.jsonl")
        #expect(refusal(TextSource(path: scratch["x.jsonl"])) == "x.jsonl:2:11: not valid JSON: a string that is not UTF-8")
    }

    @Test func `JSON Lines under a name of plain text are never taken for text by accident`() throws {
        let line = "{\"text\": \"a\"}\n"
        let refused = [line, line + line, "\n" + line + "\n" + line, line + line + line + "no JSON\n", String(line.dropLast())]
        for text in refused {
            let path = scratch.text("a.txt", text)
            #expect(throws: TextError.jsonAsText(path: path)) { try Corpus(paths: [path]) }
            #expect(try Corpus([TextSource(path: path, format: .text)]).documents.count == 1)
        }
        let long = scratch.text("long", "{\"text\": \"" + String(repeating: "a", count: 3 << 20) + "\"}")
        #expect(throws: TextError.jsonAsText(path: long)) { try Corpus(paths: [long]) }
        #expect(texts(try Corpus([TextSource(path: long, format: .jsonl)]))[0].utf8.count == 3 << 20)
        for text in ["{\"text\": \"a\"}\nand prose\n", "{curly} prose", "[1, 2]\n[3]\n", "{\n  \"pretty\": 1\n}\n", "{}{}"] {
            #expect(texts(try Corpus(paths: [scratch.text("b.txt", text)])) == [text])
        }
        #expect(
            TextError.jsonAsText(path: "a.txt").description.contains("\"format\": \"jsonl\" in a recipe or --text-format jsonl"))
    }

    @Test func `formats that others read are refused with the command that converts them`() throws {
        let files: [(String, [UInt8])] = [
            ("a.parquet", Array("PAR1....".utf8)), ("b", Array("PAR1....".utf8)), ("c.arrow", Array("ARROW1..".utf8)),
            ("d.txt.bz2", Array("BZh9".utf8) + [0x31, 0x41, 0x59, 0x26, 0x53, 0x59]),
            ("e", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), ("f", [0x50, 0x4b, 3, 4]),
        ]
        for (name, bytes) in files {
            try scratch.write(bytes, to: name)
            guard case .foreignFormat = #expect(throws: TextError.self, performing: { try Corpus(paths: [scratch[name]]) }) else {
                Issue.record("\(name)")
                continue
            }
        }
        #expect(
            refusal(TextSource(path: scratch["a.parquet"]))
                == "a.parquet: Parquet files are not read; convert it: python3 -c 'import pandas; pandas.read_parquet(\"a.parquet\")"
                + ".to_json(\"a.parquet.jsonl\", orient=\"records\", lines=True)'")
        #expect(texts(try Corpus(paths: [scratch.text("g", "BZhang")])) == ["BZhang"])
    }

    @Test func `a field of plain text and a separator of lines mean nothing and are refused`() throws {
        let text = scratch.text("a.txt", "a b")
        #expect(refusal(TextSource(path: text, field: "body"))?.contains("the field 'body' is that of JSON Lines") == true)
        let lines = scratch.text("a.jsonl", #"{"text": "a|b"}"#)
        #expect(refusal(TextSource(path: lines), separator: "|")?.contains("each line is a document; leave it out") == true)
        #expect(texts(try Corpus(paths: [lines, scratch.text("b", "c|d")], separator: "|")) == ["a|b", "c", "d"])
    }

    @Test func `invalid bytes are replaced only where that was asked for`() throws {
        try scratch.write([0x61, 0xff, 0x62], to: "bad")
        let source = TextSource(path: scratch["bad"])
        #expect(throws: TextError.invalidUTF8(path: scratch["bad"], offset: 1)) { try Corpus([source]) }
        let corpus = try Corpus([source], replacingInvalid: true)
        #expect(texts(corpus) == ["a\u{fffd}b"] && corpus.contents[0].sha256 == SHA256Digest(of: [0x61, 0xff, 0x62]))
    }

    @Test func `a damaged compressed file is refused with its place`() throws {
        let bytes = [UInt8](FileManager.default.contents(atPath: TokenizerFixtures.path("corpora/lines.jsonl.zst")) ?? Data())
        try scratch.write(bytes.dropLast(7), to: "a.jsonl.zst")
        #expect(refusal(TextSource(path: scratch["a.jsonl.zst"]))?.contains("ends in the middle of the compressed data") == true)
    }

    @Test func `tokens of texts from any kind of file are the same`() throws {
        let documents = (0..<40).map { "Document \($0) é" }
        let plain = try Corpus(paths: [scratch.text("a.txt", documents.joined(separator: "|"))], separator: "|")
        let lines = try Corpus(
            paths: [scratch.text("a.jsonl", documents.map { "{\"text\": \"\($0)\"}\n" }.joined())])
        let cache = TokenCache(directory: scratch["cache"])
        let (a, b) = (
            try cache.stream(plain, tokenizer: ByteTokenizer()), try cache.stream(lines, tokenizer: ByteTokenizer())
        )
        #expect(a.ids(0..<a.count) == b.ids(0..<b.count) && a.documentStarts == b.documentStarts)
        #expect(try cache.stream(lines, tokenizer: ByteTokenizer()) { _, _ in Issue.record("encoded again") }.count == b.count)
    }
}
