import Foundation
import Testing

@testable import Server

/// The table of routes, each as it declares itself.
@Suite struct RouteTests {
    private func path(_ route: Route) -> String { route.path.replacing("**", with: "mha") }

    @Test func `every route answers the callers it declares, and no other`() async throws {
        let server = try await ServerFixture { options, _ in (options.apiKeys, options.adminKey) = (["a"], "root") }
        for route in Route.all {
            func status(_ key: String?) async throws -> Int {
                let headers = key.map { ["Authorization": "Bearer " + $0] } ?? [:]
                return try await route.method == .post
                    ? server.post(path(route), "[]", headers: headers).status
                    : server.send("GET", path(route), headers: headers).status
            }
            // A body that is no object is refused by the route itself.
            let answered = route.method == .post ? 400 : 200
            #expect(try await status(nil) == (route.callers == .everyone ? answered : 401), "\(route.path)")
            #expect(try await status("a") == (route.callers == .admin ? 403 : answered), "\(route.path)")
            #expect(try await status("root") == answered, "\(route.path)")
        }
    }

    @Test func `every route stands in the documentation's table and in the command's help`() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let text = try String(
            contentsOf: root.appendingPathComponent("Documentation/Kvlab.docc/Serving.md"), encoding: .utf8)
        for route in Route.all {
            #expect(text.contains("\(route.path.replacing("**", with: "ID"))`"), "\(route.path)")
        }
        #expect(ModelServer.paths.count == Route.all.count - 2)
    }
}
