import Files
import Foundation
import TestSupport
import Testing

@testable import Text

@Suite struct CorpusTests {
    @Test(arguments: [
        ([0x61, 0xff], 1), ([0xc3], 0), ([0x61, 0xc3, 0x28], 1), ([0xed, 0xa0, 0x80], 0), ([0xc0, 0x80], 0),
        ([0xf4, 0x90, 0x80, 0x80], 0), ([0xe2, 0x82], 0), ([0x62, 0x80], 1), ([0xf0, 0x80, 0x80, 0x80], 0),
    ])
    func `invalid UTF-8 is refused with file and offset`(bytes: [UInt8], offset: Int) throws {
        let scratch = ScratchDirectory()
        try scratch.write(bytes, to: "bad.txt")
        let error = #expect(throws: TextError.self) { try Corpus(paths: [scratch["bad.txt"]]) }
        #expect(error == .invalidUTF8(path: scratch["bad.txt"], offset: offset))
    }

    @Test func `every valid scalar passes`() throws {
        for value in UInt32(0)...0x10ffff {
            guard let scalar = Unicode.Scalar(value) else { continue }
            let bytes = Array(String(Character(scalar)).utf8)
            if UTF8Check.firstInvalid(in: bytes.span) != nil { Issue.record("U+\(String(value, radix: 16))") }
        }
    }

    @Test func `an empty file and no file are refused`() throws {
        let scratch = ScratchDirectory()
        #expect(throws: TextError.emptyText(path: scratch["e"])) { try Corpus(paths: [scratch.text("e", "")]) }
        #expect(throws: TextError.noFiles) { try Corpus(paths: []) }
        #expect(throws: TextError.noDocuments(path: scratch["s"])) {
            try Corpus(paths: [scratch.text("s", "|\n|")], separator: "|")
        }
    }

    @Test func `a separator cuts and strips documents`() throws {
        let scratch = ScratchDirectory()
        let paths = [scratch.text("a", "one<s>\n two é\n<s><s> \n<s>"), scratch.text("b", " three ")]
        let cut = try Corpus(paths: paths, separator: "<s>")
        #expect(cut.documents.map { cut.text($0) } == ["one", "two é", "three"])
        let whole = try Corpus(paths: paths)
        #expect(whole.documents.map { whole.text($0) } == ["one<s>\n two é\n<s><s> \n<s>", " three "])
        #expect(whole.contentHash == cut.contentHash && whole.selectionHash != cut.selectionHash)
        #expect(try Corpus(paths: [paths[0]]).contentHash != whole.contentHash)
    }

    @Test func `a file written to while it is open is noticed, and one renamed over it does no harm`() throws {
        let scratch = ScratchDirectory()
        let corpus = try Corpus(paths: [scratch.text("a", "one"), scratch.text("b", "two")])
        #expect(corpus.contents.map(\.bytes) == [3, 3] && corpus.contents[0].sha256 == SHA256Digest(of: "one"))
        try AtomicFile.write(Array("six".utf8), to: scratch["b"])
        try corpus.checkUnchanged()
        #expect(corpus.text(corpus.documents[1]) == "two")
        let cache = TokenCache(directory: scratch["cache"])
        let handle = try #require(FileHandle(forWritingAtPath: scratch["a"]))
        try handle.write(contentsOf: Data("ten more".utf8))
        #expect(throws: TextError.changed(path: scratch["a"])) { try corpus.checkUnchanged() }
        // What was encoded from it would be kept under the digest of what it was.
        #expect(throws: TextError.changed(path: scratch["a"])) { try cache.stream(corpus, tokenizer: ByteTokenizer()) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch["cache"]) == [])
    }

    @Test func `a split by position cuts at a character`() throws {
        let scratch = ScratchDirectory()
        let corpus = try Corpus(paths: [scratch.text("a", "abcdefgéxy")])
        for fraction in [0.1, 0.25, 0.3, 0.5] {
            let (train, validation) = try corpus.split(fraction: fraction, by: .position, seed: 0)
            #expect(train.text(train.documents[0]) + validation.text(validation.documents[0]) == "abcdefgéxy")
            #expect(train.byteCount <= Int((1 - fraction) * 11))
        }
        #expect(throws: TextError.self) { try corpus.split(fraction: 0.99, by: .position, seed: 0) }
        #expect(throws: TextError.self) { try corpus.split(fraction: 0.5, by: .document, seed: 0) }
        #expect(throws: TextError.invalidFraction(1)) { try corpus.split(fraction: 1, by: .position, seed: 0) }
    }

    @Test func `a split of each source by itself holds a part of each out`() throws {
        let scratch = ScratchDirectory()
        let corpus = try Corpus(paths: [scratch.text("a", "aaaaaaaaaa"), scratch.text("b", "bbbbb")])
        let (train, validation) = try corpus.split(fraction: 0.2, by: .position, seed: 0, isPerSource: true)
        #expect(train.documents.map { train.text($0) } == ["aaaaaaaa", "bbbb"])
        #expect(validation.documents.map { validation.text($0) } == ["aa", "b"])
        #expect(validation.only(1).documents.map { corpus.text($0) } == ["b"])
        let whole = try corpus.split(fraction: 0.2, by: .position, seed: 0).validation
        #expect(whole.documents.map { whole.text($0) } == ["bbb"])
    }

    @Test func `a split by document is a function of the seed`() throws {
        let scratch = ScratchDirectory()
        let corpus = try Corpus(
            paths: [scratch.text("a", (0..<50).map { "doc \($0)" }.joined(separator: "|"))], separator: "|")
        let (train, validation) = try corpus.split(fraction: 0.1, by: .document, seed: 3)
        #expect(validation.documents.count == 5 && train.documents.count == 45)
        #expect(Set(train.documents + validation.documents) == Set(corpus.documents))
        #expect(try corpus.split(fraction: 0.1, by: .document, seed: 3).validation.documents == validation.documents)
        #expect(try corpus.split(fraction: 0.1, by: .document, seed: 4).validation.documents != validation.documents)
    }
}
