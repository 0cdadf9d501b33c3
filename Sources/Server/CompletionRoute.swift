import Hummingbird
import Inference
import JSON

/// /v1/completions: the whole answer at once, or chunk by chunk.
struct CompletionRoute {
    let server: ServerState

    func respond(_ completion: CompletionRequest, head: AnswerHead, to request: Request) async throws -> Response {
        let running = try await server.runner.submit(completion.requests)
        if completion.sampling.stream { return stream(completion, running, head, request) }
        return try await .whole(
            request, tokens: completion.sampling.options.maxTokens * completion.bestOf * completion.prompts.count
        ) { try await whole(completion, running, head) }
    }

    private func whole(_ completion: CompletionRequest, _ running: [Generation], _ head: AnswerHead) async throws -> JSONValue {
        let metrics = server.metrics
        let results = try await server.runner.run(running) { events in
            var results = completion.prompts.map { _ in PromptOutputs(count: completion.bestOf) }
            var clock = TokenClock(metrics)
            for await (index, event) in events {
                if case .token(let output, _, _) = event { clock.token(prompt: index, output: output) }
                results[index].take(event)
            }
            try Task.checkCancellation()
            guard results.allSatisfy(\.isFinished) else {
                throw APIError(.serviceUnavailable, "the request was dropped", retryAfter: 1)
            }
            clock.finished(results.flatMap { $0.outputs.compactMap(\.reason) })
            return results
        }
        let model = server.models[completion.model]
        var choices: [JSONValue] = []
        var usage = Usage()
        for (index, result) in results.enumerated() {
            usage.prompt += completion.prompts[index].count
            usage.cached += result.cached
            usage.completion += result.outputs.reduce(0) { $0 + $1.tokens.count }
            // The likeliest first; of equals, the one drawn first.
            let ranked =
                completion.bestOf > completion.sampling.n
                ? result.outputs.enumerated().sorted {
                    ($0.element.meanLogprob, $1.offset) > ($1.element.meanLogprob, $0.offset)
                }.map(\.element) : result.outputs
            for output in ranked.prefix(completion.sampling.n) {
                choices.append(choice(choices.count, completion, result, output, model, prompt: completion.prompts[index]))
            }
        }
        return head.object([("choices", .array(choices)), ("usage", usage.json)])
    }

    private func choice(
        _ index: Int, _ completion: CompletionRequest, _ result: PromptOutputs, _ output: Output, _ model: ServedModel,
        prompt: [Int32]
    ) -> JSONValue {
        let echoed = completion.echo ? String(decoding: model.tokenizer.decode(prompt), as: UTF8.self) : ""
        var logprobs: JSONValue = .null
        if let count = completion.logprobs {
            var list = LogprobList(model, count: count)
            for token in (completion.echo ? result.prompt : []) + output.tokens { list.append(token) }
            logprobs = list.json
        }
        return .object([
            "index": .int(index), "text": .text(echoed + output.text), "logprobs": logprobs,
            "finish_reason": .text(output.reason?.rawValue ?? "length"),
        ])
    }

    private func stream(
        _ completion: CompletionRequest, _ running: [Generation], _ head: AnswerHead, _ request: Request
    ) -> Response {
        let (state, model) = (server, server.models[completion.model])
        return .events(request) { send in
            try await state.runner.run(running) { events in
                var usage = Usage()
                var clock = TokenClock(state.metrics)
                var reasons: [FinishReason] = []
                var offsets: [Int: Int] = [:]
                func chunk(_ index: Int, _ text: String, _ tokens: [SampledToken], _ reason: FinishReason?) async throws {
                    var logprobs: JSONValue = .null
                    if let count = completion.logprobs, !tokens.isEmpty {
                        var list = LogprobList(model, count: count, offset: offsets[index] ?? 0)
                        for token in tokens { list.append(token) }
                        offsets[index] = list.length
                        logprobs = list.json
                    }
                    let choice: JSONValue = .object([
                        "index": .int(index), "text": .text(text), "logprobs": logprobs,
                        "finish_reason": reason.map { .text($0.rawValue) } ?? .null,
                    ])
                    try await send(head.object([("choices", .array([choice]))]))
                }
                for await (prompt, event) in events {
                    let first = prompt * completion.bestOf
                    switch event {
                    case .prompt(let tokens, let cached):
                        usage.prompt += completion.prompts[prompt].count
                        usage.cached += cached
                        guard completion.echo else { continue }
                        let text = String(decoding: model.tokenizer.decode(completion.prompts[prompt]), as: UTF8.self)
                        for output in 0..<completion.bestOf { try await chunk(first + output, text, tokens, nil) }
                    case .token(let output, let token, let text):
                        usage.completion += 1
                        clock.token(prompt: prompt, output: output)
                        try await chunk(first + output, text, [token], nil)
                    case .finished(let output, let reason, let text):
                        reasons.append(reason)
                        try await chunk(first + output, text, [], reason)
                    }
                }
                clock.finished(reasons)
                if completion.sampling.includeUsage {
                    try await send(head.object([("choices", .array([])), ("usage", usage.json)]))
                }
            }
        }
    }
}

/// What every answer to one request begins with.
struct AnswerHead: Sendable {
    let id: String
    let object: String
    let created: Int
    let model: String

    func object(_ rest: [(String, JSONValue)], as kind: String? = nil) -> JSONValue {
        let head: [(String, JSONValue)] = [
            ("id", .text(id)), ("object", .text(kind ?? object)), ("created", .int(created)), ("model", .text(model)),
        ]
        return .object((head + rest).map { JSONValue.Member(key: Array($0.0.utf8), value: $0.1) })
    }
}

extension Response {
    /// One JSON answer of some `tokens`; where they take a while, a client that leaves ends `body`.
    static func whole(
        _ request: Request, tokens: Int, _ body: @escaping @Sendable () async throws -> JSONValue
    ) async throws -> Response {
        guard tokens > 64 else { return .json(try await body()) }
        // To see the client leave, the connection is read on, which leaves it to no further request.
        var response: Response
        do {
            response = try await request.body.consumeWithCancellationOnInboundClose { _ in Response.json(try await body()) }
        } catch let error as APIError {
            response = error.response
        }
        response.headers[.connection] = "close"
        return response
    }

    /// Server-sent events: `body` sends JSON values, each a chunk, and an error becomes the last of them. A client that leaves
    /// ends `body`.
    static func events(
        _ request: Request,
        _ body: @escaping @Sendable (_ send: @escaping @Sendable (JSONValue) async throws -> Void) async throws -> Void
    ) -> Response {
        Response(
            status: .ok,
            headers: [.contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-cache", .connection: "close"],
            body: ResponseBody { writer in
                let (chunks, continuation) = AsyncStream.makeStream(of: JSONValue?.self)
                let work = Task {
                    do {
                        try await body { continuation.yield($0) }
                        continuation.yield(nil)
                    } catch let error as APIError {
                        continuation.yield(error.json)
                    } catch {}
                    continuation.finish()
                }
                defer { work.cancel() }
                // A client that leaves closes its half of the connection, which ends the work.
                try await request.body.consumeWithInboundCloseHandler { _ in
                    for await chunk in chunks {
                        let text = chunk.map { "data: " + String(decoding: $0.compact, as: UTF8.self) } ?? "data: [DONE]"
                        try await writer.write(ByteBuffer(string: text + "\n\n"))
                    }
                } onInboundClosed: {
                    work.cancel()
                    continuation.finish()
                }
                try await writer.finish(nil)
            })
    }
}
