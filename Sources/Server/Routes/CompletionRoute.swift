import Hummingbird
import Inference
import JSON

extension Route {
    /// The continuations of prompts: the whole answer at once, or chunk by chunk.
    static let completions = post("/v1/completions") { server, fields, context in
        let tenant = context.caller.tenant
        let completion = try await LongWork.run(bytes: fields.size) {
            try CompletionRequest(
                fields, models: server.models, limits: server.options.limits, capacity: server.engine.capacity, tenant: tenant)
        }
        try context.record.held?.take(Holdings.Amounts(tokens: completion.heldTokens))
        let head = AnswerHead(
            "text_completion", id: "cmpl-", model: server.models[completion.model], prompts: completion.prompts, context.record)
        return try await server.respond(to: completion, head, context)
    }
}

extension ServerState {
    fileprivate func respond(to completion: CompletionRequest, _ head: AnswerHead, _ context: ServerContext) async throws
        -> Response
    {
        let queue = engine.options.limits.waitingOfTenant
        guard completion.prompts.count <= queue else {
            // No wait would help: not a matter of coming again.
            throw APIError.parameter("prompt", "has \(completion.prompts.count) prompts, the queue has room for \(queue)")
        }
        let running = try await runner.submit(completion.requests)
        if completion.sampling.stream { return stream(completion, running, head, context) }
        return .json(try await whole(completion, running, head, context))
    }

    private func whole(_ completion: CompletionRequest, _ running: [Generation], _ head: AnswerHead, _ context: ServerContext)
        async throws -> JSONValue
    {
        let results = try await outputs(
            of: running, prompts: completion.prompts, count: completion.bestOf, context)
        let model = models[completion.model]
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
            var list = LogprobList(TextPosition(model, after: completion.echo ? [] : prompt), count: count)
            if completion.echo { list.append(prompt: result.prompt) }
            for token in output.tokens { list.append(token) }
            logprobs = list.json
        }
        return .object([
            "index": .int(index), "text": .text(echoed + output.text), "logprobs": logprobs,
            "finish_reason": .text(output.reason?.rawValue ?? "length"),
        ])
    }

    private func stream(
        _ completion: CompletionRequest, _ running: [Generation], _ head: AnswerHead, _ context: ServerContext
    ) -> Response {
        let model = models[completion.model]
        return events(of: running, context) { events, send in
            var usage = Usage()
            var clock = TokenClock(metrics, context.record)
            var reasons: [FinishReason] = []
            var positions: [Int: TextPosition] = [:]
            func chunk(
                _ index: Int, _ text: String, _ tokens: [SampledToken], _ reason: FinishReason?, isPrompt: Bool = false
            ) async throws {
                var logprobs: JSONValue = .null
                if let count = completion.logprobs, !tokens.isEmpty {
                    let prompt = completion.prompts[index / completion.bestOf]
                    let start = positions[index] ?? TextPosition(model, after: isPrompt ? [] : prompt)
                    var list = LogprobList(start, count: count)
                    if isPrompt { list.append(prompt: tokens) } else { for token in tokens { list.append(token) } }
                    positions[index] = list.position
                    logprobs = list.json
                }
                let choice: JSONValue = .object([
                    "index": .int(index), "text": .text(text), "logprobs": logprobs,
                    "finish_reason": reason.map { .text($0.rawValue) } ?? .null,
                ])
                try await send(head.object([("choices", .array([choice]))]))
            }
            for try await (prompt, event) in events {
                let first = prompt * completion.bestOf
                switch event {
                case .prompt(let tokens, let cached, let queued, _):
                    usage.prompt += completion.prompts[prompt].count
                    usage.cached += cached
                    clock.prompt(tokens: completion.prompts[prompt].count, cached: cached, queued: queued)
                    guard completion.echo else { continue }
                    let text = String(decoding: model.tokenizer.decode(completion.prompts[prompt]), as: UTF8.self)
                    for output in 0..<completion.bestOf { try await chunk(first + output, text, tokens, nil, isPrompt: true) }
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
