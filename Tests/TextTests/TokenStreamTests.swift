import Files
import Foundation
import TestSupport
import Testing

@testable import Text

@Suite struct TokenStreamTests {
    private let scratch = ScratchDirectory()

    private func corpus() throws -> Corpus {
        try Corpus(paths: [scratch.text("a", "one|two é|three"), scratch.text("b", "four")], separator: "|")
    }

    @Test func `documents are packed with the end-of-text token`() throws {
        let stream = try TokenStream(try corpus(), tokenizer: ByteTokenizer())
        #expect(stream.documentStarts == [0, 4, 11, 17])
        #expect(stream.count == 22)
        #expect(stream.ids(0..<5) == [0x6f, 0x6e, 0x65, 256, 0x74])
        #expect([0, 3, 4, 10, 11, 21].map { stream.documentStart(of: $0) } == [0, 0, 4, 4, 11, 17])
    }

    @Test func `a tokenizer's BOS starts each document`() throws {
        let tokenizer = try #require(
            try TokenizerFile.load(TokenizerFixtures.path("sentencepiece.json")) as? SentencePieceTokenizer)
        let stream = try TokenStream(try corpus(), tokenizer: tokenizer)
        for start in stream.documentStarts { #expect(stream.ids(start..<start + 1) == [1]) }
        #expect(stream.ids(stream.count - 1..<stream.count) == [2])
    }

    @Test func `a second reading maps what the first one wrote`() throws {
        let cache = TokenCache(directory: scratch["cache/deep"])
        let written = try cache.stream(try corpus(), tokenizer: ByteTokenizer())
        let read = try cache.stream(try corpus(), tokenizer: ByteTokenizer()) { _, _ in Issue.record("encoded again") }
        let memory = try TokenStream(try corpus(), tokenizer: ByteTokenizer())
        for stream in [written, read] {
            #expect(stream.ids(0..<stream.count) == memory.ids(0..<memory.count))
            #expect(stream.documentStarts == memory.documentStarts)
        }
    }

    @Test func `another text, selection or tokenizer has another file`() throws {
        let cache = TokenCache(directory: scratch["cache"])
        let all = try corpus()
        let whole = try Corpus(paths: all.contents.map(\.path))
        let bpe = try #require(try TokenizerFile.load(TokenizerFixtures.path("byte-level.json")) as? BPETokenizer)
        let halves = try all.split(fraction: 0.5, by: .document, seed: 1)
        let paths = [
            cache.path(all, tokenizer: ByteTokenizer()), cache.path(whole, tokenizer: ByteTokenizer()),
            cache.path(all, tokenizer: bpe), cache.path(halves.train, tokenizer: bpe),
            cache.path(halves.validation, tokenizer: bpe),
        ]
        #expect(Set(paths).count == paths.count)
    }

    @Test func `a cache with any byte changed, or cut, is made anew`() throws {
        let cache = TokenCache(directory: scratch["cache"])
        let text = try corpus()
        let expected = try cache.stream(text, tokenizer: ByteTokenizer())
        let ids = expected.ids(0..<expected.count)
        let path = cache.path(text, tokenizer: ByteTokenizer())
        let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= 0x10
            try Data(damaged).write(to: URL(fileURLWithPath: path))
            #expect(try cache.stream(text, tokenizer: ByteTokenizer()).ids(0..<ids.count) == ids)
        }
        for count in [0, 50, 96, bytes.count - 1] {
            try Data(bytes[..<count]).write(to: URL(fileURLWithPath: path))
            #expect(try cache.stream(text, tokenizer: ByteTokenizer()).ids(0..<ids.count) == ids)
        }
        #expect(Array(try Data(contentsOf: URL(fileURLWithPath: path))) == bytes)
    }

    /// The cache of the corpus with `change` made to what follows its header, and the digest that belongs to it.
    private func forge(_ change: (inout [UInt8]) -> Void) throws -> String {
        let cache = TokenCache(directory: scratch["forged"])
        let path = cache.path(try corpus(), tokenizer: ByteTokenizer())
        try? FileManager.default.removeItem(atPath: path)
        _ = try cache.stream(try corpus(), tokenizer: ByteTokenizer())
        let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
        var rest = Array(bytes[96...])
        change(&rest)
        try Data(bytes[..<64] + SHA256Digest(of: rest).bytes + rest).write(to: URL(fileURLWithPath: path))
        do { _ = try cache.stream(try corpus(), tokenizer: ByteTokenizer()) } catch {
            return "\(error)".replacing(path + ": ", with: "")
        }
        return ""
    }

    @Test func `a cache whose digest is right and whose tokens or documents can't be is refused`() throws {
        #expect(try forge { _ in } == "")
        let first = try forge { $0.replaceSubrange(0..<2, with: [1, 1]) }
        #expect(first.hasPrefix("not a token cache that kvlab wrote: a token is 257, beyond a vocabulary of 257"), "\(first)")
        #expect(try forge { $0.replaceSubrange(40..<42, with: [255, 255]) }.contains("a token is 65535"))
        // The last document's start, the file's last eight bytes.
        let starts = try forge { $0[$0.count - 2] = 0xff }
        #expect(starts.contains("its documents do not begin one behind the other"), "\(starts)")
    }

    @Test func `a long document encodes the same in parts on two threads`() throws {
        let tokenizer = try #require(try TokenizerFile.load(TokenizerFixtures.path("byte-level.json")) as? BPETokenizer)
        let text = String(repeating: try TokenizerFixtures.load().learn + "  \n\n é", count: 12_000)
        let corpus = try Corpus(paths: [scratch.text("long", text)])
        let stream = try TokenStream(corpus, tokenizer: tokenizer)
        #expect(stream.ids(0..<stream.count) == tokenizer.encode(text) + [0])
        #expect(stream.documentStarts == [0])
    }
}
