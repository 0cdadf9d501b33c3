import Hummingbird
import Inference
import JSON

/// A request to /v1/chat/completions, read and checked.
struct ChatRequest {
    var model: Int
    var prompt: [Int32]
    var sampling: SamplingFields
    /// Likeliest tokens beside each, where log-probabilities are wanted.
    var logprobs: Int?
    var tenant: String
    /// The digest that divides the tenant's prefix cache.
    var cacheSalt: String
    /// Tokens of its prompt and answer, likeliest ones included.
    var heldTokens: Int

    /// Reads a request whose model's sequences hold `capacity` tokens at most.
    init(
        _ fields: RequestFields, models: [ServedModel], limits: ServerLimits, capacity: (Int) -> Int, tenant: String
    ) throws(APIError) {
        model = try CompletionRequest.model(fields, models)
        sampling = try fields.sampling(limits, maxTokens: 1024)
        let wanted = try fields.bool("logprobs") ?? false
        let top = try fields.int("top_logprobs", in: 0...limits.logprobs)
        if top != nil, !wanted { throw .parameter("top_logprobs", "needs 'logprobs' to be true") }
        logprobs = wanted ? top ?? 0 : nil
        sampling.options.logprobs = logprobs
        self.tenant = tenant
        cacheSalt = try fields.cacheSalt()
        switch models[model].chatFormat {
        case .named(let format): sampling.options.stopStrings += format.stops
        case .own(let template): sampling.options.stopStrings += template.stops
        }
        let capacity = capacity(model)
        heldTokens = try limits.check(
            outputs: sampling.n, tokens: min(sampling.options.maxTokens, capacity), logprobs: logprobs)
        prompt = try Self.prompt(fields, models[model], capacity)
        heldTokens += sampling.n * prompt.count
    }

    /// The tokens of a chat as the model's format has it.
    private static func prompt(_ fields: RequestFields, _ model: ServedModel, _ capacity: Int) throws(APIError) -> [Int32] {
        let messages = try messages(fields)
        let settings = fields.json["chat_template_kwargs"]
        guard settings == nil || settings?.members != nil else { throw .parameter("chat_template_kwargs", "is not an object") }
        let addsGenerationPrompt = try fields.bool("add_generation_prompt") ?? true
        switch model.chatFormat {
        case .named(let format):
            guard addsGenerationPrompt, settings?.members?.isEmpty ?? true else {
                let name = addsGenerationPrompt ? "chat_template_kwargs" : "add_generation_prompt"
                throw .parameter(name, "is not supported: the model has no chat template of its own")
            }
            return try prompt(format.turns(messages), model, capacity)
        case .own(let template):
            let text = try template.prompt(
                messages, addsGenerationPrompt: addsGenerationPrompt, settings: settings?.members ?? [])
            try model.check(text, capacity: capacity, parameter: "messages")
            // The template itself writes what a text begins with.
            return model.encode(text, special: false)
        }
    }

    /// The tokens of a chat, in which the end of one turn and the beginning of the next are tokens, whatever their text.
    private static func prompt(_ turns: [String], _ model: ServedModel, _ capacity: Int) throws(APIError) -> [Int32] {
        try model.check(turns.joined(), capacity: capacity, parameter: "messages")
        var ids = turns.first.map { model.encode($0) } ?? []
        for turn in turns.dropFirst() { ids += model.eosIDs.prefix(1) + model.encode(turn) }
        return ids
    }

    private static func messages(_ fields: RequestFields) throws(APIError) -> [ChatTemplate.Message] {
        guard let array = fields.json["messages"]?.array, !array.isEmpty else {
            throw .parameter("messages", "is not a list of at least one message")
        }
        guard array.count <= 1024 else { throw .parameter("messages", "has \(array.count) messages, at most 1024 are allowed") }
        var messages: [ChatTemplate.Message] = []
        for message in array {
            guard let role = message["role"]?.string, ["system", "developer", "user", "assistant"].contains(role) else {
                throw .parameter("messages", "has a role that is none of system, user and assistant")
            }
            var content = message["content"]?.string
            if let parts = message["content"]?.array {
                guard parts.allSatisfy({ $0["type"]?.string == "text" && $0["text"]?.string != nil }) else {
                    throw .parameter("messages", "has content that is not text")
                }
                content = parts.compactMap { $0["text"]?.string }.joined(separator: "\n")
            }
            guard let content else { throw .parameter("messages", "has a message without content") }
            messages.append(ChatTemplate.Message(role: role == "developer" ? "system" : role, content: content))
        }
        return messages
    }

    var engineRequest: GenerationRequest {
        var request = GenerationRequest(model: model, prompt: prompt, sampling: sampling.options)
        request.count = sampling.n
        (request.tenant, request.cacheSalt) = (tenant, cacheSalt)
        return request
    }
}

extension Route {
    /// The next message of a chat, see ``ChatRoute``.
    static let chat = post("/v1/chat/completions") { server, fields, context in
        let tenant = context.caller.tenant
        let chat = try await LongWork.render {
            try ChatRequest(
                fields, models: server.models, limits: server.options.limits, capacity: server.engine.capacity, tenant: tenant)
        }
        try context.record.held?.take(Holdings.Amounts(tokens: chat.heldTokens))
        let head = AnswerHead(
            "chat.completion", id: "chatcmpl-", model: server.models[chat.model], prompts: [chat.prompt], context.record)
        return try await ChatRoute(server: server).respond(chat, head: head, context)
    }
}

/// /v1/chat/completions: the whole message at once, or chunk by chunk.
struct ChatRoute {
    let server: ServerState

    func respond(_ chat: ChatRequest, head: AnswerHead, _ context: ServerContext) async throws -> Response {
        let running = try await server.runner.submit([chat.engineRequest])
        if chat.sampling.stream { return stream(chat, running, head, context) }
        let record = context.record
        return .json(
            try await server.connections.whileOpen(context.channel) { try await whole(chat, running, head, record) })
    }

    private func whole(_ chat: ChatRequest, _ running: [Generation], _ head: AnswerHead, _ record: RequestRecord) async throws
        -> JSONValue
    {
        let metrics = server.metrics
        let result = try await server.runner.run(running) { events in
            var result = PromptOutputs(count: chat.sampling.n)
            var clock = TokenClock(metrics, record)
            for await (_, event) in events {
                if case .token(let output, _, _) = event { clock.token(prompt: 0, output: output) }
                result.take(event)
                if case .prompt(_, let cached, let queued) = event {
                    clock.prompt(tokens: chat.prompt.count, cached: cached, queued: queued)
                }
            }
            try Task.checkCancellation()
            guard result.isFinished else { throw APIError(.serviceUnavailable, "the request was dropped", retryAfter: 1) }
            clock.finished(result.outputs.compactMap(\.reason))
            return result
        }
        let start = TextPosition(server.models[chat.model], after: chat.prompt)
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
        let state = server
        let record = context.record
        return .events(state.connections, context) { send in
            try await state.runner.run(running) { events in
                var usage = Usage(prompt: chat.prompt.count)
                var clock = TokenClock(state.metrics, record)
                var reasons: [FinishReason] = []
                let start = TextPosition(state.models[chat.model], after: chat.prompt)
                var positions = [TextPosition](repeating: start, count: chat.sampling.n)
                func chunk(_ index: Int, _ delta: JSONValue, _ tokens: [SampledToken], _ reason: FinishReason?) async throws {
                    let choice: JSONValue = .object([
                        "index": .int(index), "delta": delta, "logprobs": logprobs(chat, tokens, &positions[index]),
                        "finish_reason": reason.map { .text($0.rawValue) } ?? .null,
                    ])
                    try await send(head.object([("choices", .array([choice]))], as: "chat.completion.chunk"))
                }
                for await (_, event) in events {
                    switch event {
                    case .prompt(_, let cached, let queued):
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
}
