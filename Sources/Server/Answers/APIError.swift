import HTTPTypes
import Hummingbird
import Inference
import JSON

/// An error answer: OpenAI's error object and a status.
public struct APIError: Error, Sendable {
    /// The status.
    public var status: HTTPResponse.Status
    /// The sentence.
    public var message: String
    /// OpenAI's name for the kind of error.
    public var type: String
    /// The parameter at fault, where there is one.
    public var parameter: String?
    /// OpenAI's code, where there is one.
    public var code: String?
    /// Seconds after which another try makes sense.
    public var retryAfter: Int?
    /// Whether the connection ends with the answer: the rest of the request cannot be read, or is not worth it.
    var closes = false
    /// Further header fields; clients of OpenAI heed `x-should-retry`.
    var headers: HTTPFields = [:]

    /// An error of a status; the type follows from it unless given.
    public init(
        _ status: HTTPResponse.Status, _ message: String, type: String? = nil, parameter: String? = nil, code: String? = nil,
        retryAfter: Int? = nil
    ) {
        self.status = status
        self.message = message
        self.type =
            type
            ?? (status.code == 401
                ? "authentication_error"
                : status.code == 429 ? "rate_limit_error" : status.code >= 500 ? "server_error" : "invalid_request_error")
        self.parameter = parameter
        self.code = code
        self.retryAfter = retryAfter
    }

    /// The same, with the connection closed after it.
    var closing: APIError {
        var copy = self
        copy.closes = true
        return copy
    }

    /// A parameter that cannot be used as it is.
    static func parameter(_ name: String, _ message: String) -> APIError {
        APIError(.badRequest, "'\(name)' \(message)", parameter: name)
    }

    /// The answer to a request that the engine refused.
    init(_ error: InferenceError) {
        switch error {
        case .queueFull: self.init(.tooManyRequests, error.description, code: "queue_full", retryAfter: 1)
        case .stopping: self.init(.serviceUnavailable, error.description, code: "shutting_down", retryAfter: 5)
        case .sampling(let option, _, _): self.init(.badRequest, error.description, parameter: option)
        case .promptTooLong: self.init(.badRequest, error.description, parameter: "prompt", code: "context_length_exceeded")
        case .emptyPrompt, .token: self.init(.badRequest, error.description, parameter: "prompt")
        case .headsShareBudgets, .noRoomToRepeat, .policyWithoutLayers, .blocksWithEviction:
            self.init(.badRequest, error.description, parameter: "kv_evict")
        case .noModel: self.init(.notFound, error.description, parameter: "model", code: "model_not_found")
        default: self.init(.internalServerError, error.description)
        }
    }

    /// The error object.
    var json: JSONValue {
        .object([
            "error": .object([
                "message": .text(message), "type": .text(type), "param": parameter.map { .text($0) } ?? .null,
                "code": code.map { .text($0) } ?? .null,
            ])
        ])
    }

    /// The whole answer.
    var response: Response {
        var response = Response.json(json, status: status)
        response.headers.append(contentsOf: headers)
        if let retryAfter { response.headers[.retryAfter] = "\(retryAfter)" }
        if closes { response.headers[.connection] = "close" }
        return response
    }
}

extension JSONValue {
    /// A number; infinities and NaN become −9999, as clients of log-probabilities expect.
    static func float(_ value: Float) -> JSONValue { .number(value.isFinite ? "\(value)" : "-9999.0") }
}

extension Response {
    /// Bytes of an answer that are written at once.
    static let pieceBytes = 256 << 10

    /// A JSON answer, written in pieces as fast as its client reads.
    static func json(_ value: JSONValue, status: HTTPResponse.Status = .ok) -> Response {
        let all = ByteBuffer(bytes: value.compact)
        let body =
            all.readableBytes <= pieceBytes
            ? ResponseBody(byteBuffer: all)
            : ResponseBody(contentLength: all.readableBytes) { writer in
                var rest = all
                while let piece = rest.readSlice(length: min(pieceBytes, rest.readableBytes)), piece.readableBytes > 0 {
                    try await writer.write(piece)
                }
                try await writer.finish(nil)
            }
        return Response(
            status: status, headers: [.contentType: "application/json", .contentLength: "\(all.readableBytes)"], body: body)
    }

    /// A text answer.
    static func text(_ text: String, type: String = "text/plain; charset=utf-8") -> Response {
        Response(
            status: .ok, headers: [.contentType: type, .contentLength: "\(text.utf8.count)"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}
