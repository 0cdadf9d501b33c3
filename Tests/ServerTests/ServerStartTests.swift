import Foundation
import TestSupport
import Testing

@testable import Server

/// How a server begins and ends.
@Suite struct ServerStartTests {
    static let tool: String = {
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return URL(fileURLWithPath: tests).deletingLastPathComponent().path + "/kvlab"
    }()

    @Test func `a port that is taken and a host that is none end the start with a sentence`() async throws {
        let first = try await ServerFixture()
        let taken = await #expect(throws: ServerError.self) {
            try await ServerFixture { options, _ in options.port = first.port }
        }
        #expect(taken?.description == "cannot listen on 127.0.0.1:\(first.port): address already in use")
        let none = await #expect(throws: ServerError.self) {
            try await ServerFixture { options, _ in options.host = "no.such.host.invalid" }
        }
        #expect(none?.description == "cannot listen on no.such.host.invalid:0: the host has no address")
    }

    @Test func `an empty key is refused, on any address`() async throws {
        for rest in [[], ["--host", "0.0.0.0"], ["--api-key", "k"]] {
            let result = try await Python.concurrently(Self.tool, ["serve", "x.h5", "--api-key", ""] + rest)
            #expect(result.status == 64 && result.errors.contains("--api-key is empty"), "\(result.errors)")
        }
    }
}
