import Foundation
import JSON
import Testing
import Text

@testable import Server

/// Templates and messages made to keep a server busy.
@Suite struct ChatTemplateLimitsTests {
    private func server(_ template: String) async throws -> ServerFixture {
        try await ServerFixture(chatFormat: try ChatFormat(for: ByteTokenizer(), template: template, specialTokens: [:]))
    }

    private func chat(_ content: String) -> String {
        #"{"model":"mqa","messages":[{"role":"user","content":""# + content + #""}]}"#
    }

    @Test func `a message of millions of words ends at the template's limits, and others are answered meanwhile`() async throws {
        let server = try await server("{{ messages[0].content.split()|length }}")
        let body = chat(String(repeating: "a ", count: 2_500_000))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<2 {
                group.addTask {
                    let answer = try await server.post("/v1/chat/completions", body)
                    #expect(answer.status == 400)
                    #expect(answer.error?.hasSuffix("line 1: more than 2000000 steps") == true, "\(answer.text)")
                }
            }
            for _ in 0..<10 {
                group.addTask {
                    let answer = try await server.send("GET", "/health")
                    #expect(answer.status == 200)
                }
            }
            try await group.waitForAll()
        }
        #expect(try await server.post("/v1/chat/completions", chat("two words")).status == 200)
    }

    @Test func `a template that raises megabytes has a short error`() async throws {
        let server = try await server("{{ raise_exception(messages[0].content * 1000000) }}")
        let answer = try await server.post("/v1/chat/completions", chat("no"))
        #expect(answer.status == 400 && answer.body.count < 2000)
        #expect(answer.error?.hasSuffix("nono… and 1999000 bytes more") == true, "\(answer.text.prefix(300))")
    }

    @Test func `a line of the text log is one line, whatever a client sent`() throws {
        var summary = RequestSummary()
        (summary.method, summary.path, summary.status) = ("POST", "/v1/chat/completions", 400)
        (summary.model, summary.error) = ("m\nGET / 200", "no\u{1b}[31m\r")
        #expect(summary.text == #"POST /v1/chat/completions 400 0 ms m\nGET / 200 0+0 tokens, 0 cached (no\u{1b}[31m\r)"#)
        #expect(try JSONValue(parsing: Array(summary.json.utf8))["model"]?.string == "m\nGET / 200")
    }
}
