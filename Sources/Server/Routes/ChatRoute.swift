import Hummingbird
import Inference
import JSON

extension Route {
    /// The next message of a chat: the whole message at once, or chunk by chunk.
    static let chat = post("/v1/chat/completions") { server, fields, context in
        let tenant = context.caller.tenant
        let chat = try await LongWork.render {
            try ChatRequest(
                fields, models: server.models, limits: server.options.limits, capacity: server.engine.capacity, tenant: tenant)
        }
        try context.record.held?.take(Holdings.Amounts(tokens: chat.heldTokens))
        let head = AnswerHead(
            "chat.completion", id: "chatcmpl-", model: server.models[chat.model], prompts: [chat.prompt], context.record)
        return try await server.respond(to: chat, head, context)
    }
}

extension ServerState {
    fileprivate func respond(to chat: ChatRequest, _ head: AnswerHead, _ context: ServerContext) async throws -> Response {
        let running = try await runner.submit([chat.engineRequest])
        if chat.sampling.stream { return stream(chat, running, head, context) }
        return .json(try await whole(chat, running, head, context))
    }

    private func whole(_ chat: ChatRequest, _ running: [Generation], _ head: AnswerHead, _ context: ServerContext) async throws
        -> JSONValue
    {
        let result = try await outputs(of: running, prompts: [chat.prompt], count: chat.sampling.n, context)[0]
        let start = TextPosition(models[chat.model], after: chat.prompt)
        let choices = result.outputs.enumerated().map { index, output -> JSONValue in
            var position = start
            return .object([
                "index": .int(index), "message": .object(["role": .text("assistant"), "content": .text(output.text)]),
                "logprobs": logprobs(chat, output.tokens, &position), "finish_reason": .text(output.reason?.rawValue ?? "length"),
            ])
        }
        let usage = Usage(
            prompt: chat.prompt.count, completion: result.outputs.reduce(0) { $0 + $1.tokens.count }, cached: result.cached)
        return head.object([("choices", .array(choices)), ("usage", usage.json)])
    }

    /// Log-probabilities of tokens that stand at `position`, which goes past them.
    private func logprobs(_ chat: ChatRequest, _ tokens: [SampledToken], _ position: inout TextPosition) -> JSONValue {
        guard let count = chat.logprobs, !tokens.isEmpty else { return .null }
        func entry(_ id: Int32, _ logprob: Float, _ rest: [(String, JSONValue)] = []) -> JSONValue {
            let members: [(String, JSONValue)] = [
                ("token", .text(position.text(of: id))), ("logprob", .float(logprob)),
                ("bytes", .array(position.bytes(of: id).map { .int(Int($0)) })),
            ]
            return .object(of: members + rest)
        }
        let content = tokens.map { token in
            defer { _ = position.append(token.id) }
            return entry(
                token.id, token.logprob ?? 0,
                [("top_logprobs", .array(token.top.prefix(count).map { entry($0.id, $0.logprob) }))])
        }
        return .object(["content": .array(content)])
    }

    private func stream(_ chat: ChatRequest, _ running: [Generation], _ head: AnswerHead, _ context: ServerContext) -> Response {
        events(of: running, context) { events, send in
            var usage = Usage(prompt: chat.prompt.count)
            var clock = TokenClock(metrics, context.record)
            var reasons: [FinishReason] = []
            let start = TextPosition(models[chat.model], after: chat.prompt)
            var positions = [TextPosition](repeating: start, count: chat.sampling.n)
            func chunk(_ index: Int, _ delta: JSONValue, _ tokens: [SampledToken], _ reason: FinishReason?) async throws {
                let choice: JSONValue = .object([
                    "index": .int(index), "delta": delta, "logprobs": logprobs(chat, tokens, &positions[index]),
                    "finish_reason": reason.map { .text($0.rawValue) } ?? .null,
                ])
                try await send(head.object([("choices", .array([choice]))], as: "chat.completion.chunk"))
            }
            for try await (_, event) in events {
                switch event {
                case .prompt(_, let cached, let queued, _):
                    usage.cached = cached
                    clock.prompt(tokens: chat.prompt.count, cached: cached, queued: queued)
                    for index in 0..<chat.sampling.n {
                        try await chunk(index, .object(["role": .text("assistant"), "content": .text("")]), [], nil)
                    }
                case .token(let index, let token, let text):
                    usage.completion += 1
                    clock.token(prompt: 0, output: index)
                    try await chunk(index, .object(["content": .text(text)]), [token], nil)
                case .finished(let index, let reason, let text):
                    reasons.append(reason)
                    try await chunk(index, text.isEmpty ? .object([]) : .object(["content": .text(text)]), [], reason)
                }
            }
            clock.finished(reasons)
            if chat.sampling.includeUsage {
                try await send(head.object([("choices", .array([])), ("usage", usage.json)], as: "chat.completion.chunk"))
            }
        }
    }
}
