import Hummingbird
import NIOCore

extension RequestFields {
    /// Collects and parses a request's body, which has to come within ``ServerLimits/bodySeconds``; from then on the request's
    /// record holds its bytes.
    init(collecting request: Request, _ server: ServerState, _ context: ServerContext) async throws {
        let limits = server.options.limits
        context.record.held = try Holding(server.holdings, tenant: context.caller.tenant)
        let length = request.headers[.contentLength].flatMap { Int($0) } ?? limits.bodyBytes
        guard length <= limits.bodyBytes else {
            throw APIError(.contentTooLarge, "the body is larger than \(limits.bodyBytes) bytes").closing
        }
        do throws(APIError) { try context.record.held?.take(Holdings.Amounts(bytes: length)) } catch { throw error.closing }
        let body = try await withThrowingTaskGroup(of: ByteBuffer.self) { group in
            group.addTask {
                var request = request
                return try await request.collectBody(upTo: limits.bodyBytes)
            }
            group.addTask {
                try await Task.sleep(for: .seconds(limits.bodySeconds))
                throw APIError(.requestTimeout, "the body did not come within \(limits.bodySeconds) s", type: "timeout_error")
                    .closing
            }
            defer { group.cancelAll() }
            guard let body = try await group.next() else { throw CancellationError() }
            return body
        }
        // A body of unknown length counted as the longest.
        context.record.held?.give(Holdings.Amounts(bytes: length - min(length, body.readableBytes)))
        self = try await LongWork.run(bytes: body.readableBytes) { try RequestFields(Array(body.readableBytesView)) }
    }
}
