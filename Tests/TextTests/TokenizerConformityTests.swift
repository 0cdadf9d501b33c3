import Foundation
import TestSupport
import Testing

@testable import Text

/// Ids on a megabyte of mixed text against Hugging Face's `tokenizers`: see Fixtures/make_conformity.py.
@Suite(.enabled(if: Python.has("tokenizers"), "python3 has no tokenizers module"))
struct TokenizerConformityTests {
    @Test func `ids equal those of tokenizers on a megabyte of mixed text`() throws {
        let scratch = ScratchDirectory()
        let script = try String(contentsOfFile: TokenizerFixtures.path("make_conformity.py"), encoding: .utf8)
        let made = try Python.run(script, [scratch.path])
        try #require(made.status == 0, "\(made.errors)")
        let text = String(decoding: scratch.bytes("text"), as: UTF8.self)
        let speeds = try JSONDecoder().decode([String: Double].self, from: Data(scratch.bytes("speeds")))
        let names = scratch.names.filter { $0.hasSuffix(".json") }.map { String($0.dropLast(5)) }
        #expect(names.count == 13)
        for name in names {
            let expected = String(decoding: scratch.bytes(name + ".ids"), as: UTF8.self).split(separator: "\n").compactMap {
                Int32($0)
            }
            let tokenizer = try TokenizerFile.load(scratch[name + ".json"])
            let start = ContinuousClock.now
            let ids = tokenizer.encode(text)
            let speed = Double(text.utf8.count) / 1e6 / ((ContinuousClock.now - start) / .seconds(1))
            print(name, String(format: "%.1f MB/s, tokenizers %.1f MB/s", speed, speeds[name] ?? 0))
            guard ids != expected else { continue }
            let place = zip(ids, expected).enumerated().first { $1.0 != $1.1 }?.offset ?? min(ids.count, expected.count)
            let near = max(0, place - 4)
            Issue.record(
                """
                \(name): \(ids.count) ids, expected \(expected.count); from id \(near): \
                \(ids[near..<min(near + 9, ids.count)].map { String(decoding: tokenizer.decode([$0]), as: UTF8.self) }), expected \
                \(expected[near..<min(near + 9, expected.count)].map { String(decoding: tokenizer.decode([$0]), as: UTF8.self) })
                """)
        }
    }
}
