import Foundation
import TestSupport

@testable import Text

/// What Hugging Face's `tokenizers` gave: see Fixtures/make_tokenizers.py.
struct TokenizerFixtures: Decodable {
    struct Case: Decodable {
        var text: String
        var byteLevel: [Int32]
        var sentencepiece: [Int32]
    }

    var learn: String
    var cases: [Case]

    static func load() throws -> TokenizerFixtures {
        try JSONDecoder().decode(TokenizerFixtures.self, from: Data(contentsOf: URL(fileURLWithPath: path("expected-ids.json"))))
    }

    static func path(_ name: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures/" + name).path
    }
}

extension ScratchDirectory {
    /// Writes a text file and gives its path.
    func text(_ name: String, _ text: String) -> String {
        try? write(Array(text.utf8), to: name)
        return self[name]
    }
}
