import TestSupport
import Testing

@testable import Server

/// What web pages may do with a server that their user's browser reaches.
@Suite struct OriginTests {
    private let body = #"{"model":"mha","prompt":"abc","max_tokens":2}"#

    /// The status line and headers of an answer.
    private func ask(
        _ server: ServerFixture, _ method: String, _ path: String, _ headers: [String], body: String = ""
    ) async throws -> String {
        let client = try RawClient(server.port)
        let lines = ["Host: localhost:\(server.port)", "Content-Length: \(body.utf8.count)", "Connection: close"] + headers
        client.send("\(method) \(path) HTTP/1.1\r\n" + lines.map { $0 + "\r\n" }.joined() + "\r\n" + body)
        return try await client.read().text
    }

    @Test func `a page of another origin is refused, with a key and without, and the server's own page is not`() async throws {
        let json = "Content-Type: application/json"
        for keys in [[], ["k"]] {
            let server = try await ServerFixture { options, _ in options.apiKeys = keys }
            let key = keys.map { "Authorization: Bearer \($0)" }
            for origin in [
                "http://evil.example", "null", "http://localhost:1", "http://localhost",
                "http://localhost:\(server.port).evil.example",
            ] {
                let answer = try await ask(
                    server, "POST", "/v1/completions", [json, "Origin: \(origin)"] + key, body: body)
                #expect(answer.hasPrefix("HTTP/1.1 403 ") && answer.contains("--allow-origin"), "\(origin): \(answer)")
                #expect(!answer.lowercased().contains("access-control"))
                #expect(try await ask(server, "GET", "/v1/kvlab/pool", ["Origin: \(origin)"] + key).hasPrefix("HTTP/1.1 403 "))
            }
            let own = try await ask(
                server, "POST", "/v1/completions", [json, "Origin: http://localhost:\(server.port)"] + key, body: body)
            #expect(own.hasPrefix("HTTP/1.1 200 "), "\(own)")
            // No browser, no origin.
            #expect(try await ask(server, "POST", "/v1/completions", [json] + key, body: body).hasPrefix("HTTP/1.1 200 "))
        }
    }

    @Test func `a body that is not declared as JSON is refused`() async throws {
        let server = try await ServerFixture()
        for type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", ""] {
            let answer = try await ask(
                server, "POST", "/v1/completions", type.isEmpty ? [] : ["Content-Type: \(type)"], body: body)
            #expect(answer.hasPrefix("HTTP/1.1 415 ") && answer.contains("application/json"), "\(type): \(answer)")
        }
        for type in ["application/json", "Application/JSON; charset=utf-8", "application/json ;charset=utf-8"] {
            let answer = try await ask(server, "POST", "/v1/completions", ["Content-Type: \(type)"], body: body)
            #expect(answer.hasPrefix("HTTP/1.1 200 "), "\(type): \(answer)")
        }
    }

    @Test func `listed origins pass, preflight included, and read the answers`() async throws {
        let server = try await ServerFixture { options, _ in
            options.apiKeys = ["k"]
            options.allowedOrigins = ["https://App.example"]
        }
        let origin = "Origin: https://app.example"
        let asks = "Access-Control-Request-Method: POST"
        let preflight = try await ask(
            server, "OPTIONS", "/v1/completions",
            [origin, asks, "Access-Control-Request-Headers: authorization,content-type,x-stainless-os"])
        #expect(preflight.hasPrefix("HTTP/1.1 200 "))
        for header in [
            "access-control-allow-origin: https://app.example", "access-control-allow-methods: get, post",
            "access-control-allow-headers: authorization,content-type,x-stainless-os", "vary: origin",
        ] { #expect(preflight.lowercased().contains(header), "\(header): \(preflight)") }
        let answer = try await ask(
            server, "POST", "/v1/completions", [origin, "Content-Type: application/json", "Authorization: Bearer k"], body: body)
        #expect(
            answer.hasPrefix("HTTP/1.1 200 ") && answer.lowercased().contains("access-control-allow-origin: https://app.example"))
        let foreign = try await ask(server, "OPTIONS", "/v1/completions", ["Origin: https://evil.example", asks])
        #expect(!foreign.hasPrefix("HTTP/1.1 200 ") && !foreign.lowercased().contains("access-control-allow-origin"))
    }

    @Test(arguments: [
        ("*", true), ("https://a.example", true), ("http://[::1]:80", true), ("a.example", false), ("https://", false),
        ("https://a/b", false), ("", false),
    ])
    func `an origin is a scheme and a host`(text: String, isOrigin: Bool) { #expect(OriginPolicy.isOrigin(text) == isOrigin) }
}
