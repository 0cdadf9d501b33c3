import Foundation
import Testing

@testable import Files

@Suite struct CanonicalJSONTests {
    private struct Figures: Codable, Equatable {
        var path = "a/b"
        var all: [Double]
    }

    @Test func `keys are sorted and slashes plain, on one line or over many`() throws {
        #expect(try CanonicalJSON.text(of: Figures(all: [1.5])) == #"{"all":[1.5],"path":"a/b"}"#)
        #expect(try CanonicalJSON.text(of: Figures(all: []), pretty: true).split(separator: "\n").count > 3)
    }

    @Test func `numbers that JSON cannot say are refused, or spelled and read back`() throws {
        let figures = Figures(all: [.infinity, -.infinity])
        #expect(throws: EncodingError.self) { try CanonicalJSON.text(of: figures) }
        let text = try CanonicalJSON.text(of: figures, nonFinite: .spelled)
        #expect(text.contains(#"["inf","-inf"]"#))
        #expect(try CanonicalJSON.value(Figures.self, from: Data(text.utf8)) == figures)
    }
}
