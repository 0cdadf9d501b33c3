import Inference
import JSON

/// One output as it has come so far.
struct Output {
    var text = ""
    var tokens: [SampledToken] = []
    var reason: FinishReason?

    /// ln p of the tokens on average, to rank outputs by.
    var meanLogprob: Double {
        tokens.reduce(0.0) { $0 + Double($1.logprob ?? 0) } / Double(max(1, tokens.count))
    }
}

/// The outputs of one prompt as they have come so far.
struct PromptOutputs {
    var prompt: [SampledToken] = []
    var cached = 0
    var outputs: [Output]

    init(count: Int) { outputs = [Output](repeating: Output(), count: count) }

    mutating func take(_ event: GenerationEvent) {
        switch event {
        case .prompt(let tokens, let cached, _, _): (prompt, self.cached) = (tokens, cached)
        case .token(let index, let token, let text):
            outputs[index].tokens.append(token)
            outputs[index].text += text
        case .finished(let index, let reason, let text):
            outputs[index].text += text
            outputs[index].reason = reason
        }
    }

    var isFinished: Bool { outputs.allSatisfy { $0.reason != nil } }
}

extension ServerState {
    /// The outputs of submitted `prompts`, `count` for each, once the last one has finished.
    func outputs(
        of running: [Generation], prompts: [[Int32]], count: Int, _ context: ServerContext
    ) async throws -> [PromptOutputs] {
        try await runner.run(running, for: context.channel) { events in
            var results = [PromptOutputs](repeating: PromptOutputs(count: count), count: prompts.count)
            var clock = TokenClock(metrics, context.record)
            for try await (index, event) in events {
                if case .token(let output, _, _) = event { clock.token(prompt: index, output: output) }
                results[index].take(event)
                if case .prompt(_, let cached, let queued, _) = event {
                    clock.prompt(tokens: prompts[index].count, cached: cached, queued: queued)
                }
            }
            try Task.checkCancellation()
            guard results.allSatisfy(\.isFinished) else {
                throw APIError(.serviceUnavailable, "the request was dropped", retryAfter: 1)
            }
            clock.finished(results.flatMap { $0.outputs.compactMap(\.reason) })
            return results
        }
    }
}

/// Log-probabilities as /v1/completions shows them.
struct LogprobList {
    private var tokens: [JSONValue] = []
    private var logprobs: [JSONValue] = []
    private var tops: [JSONValue] = []
    private var offsets: [JSONValue] = []
    /// Text offset of the next token.
    private(set) var position: TextPosition
    private let count: Int

    /// An empty list of tokens from `position` on, with `count` likeliest ones beside each.
    init(_ position: TextPosition, count: Int) {
        self.position = position
        self.count = count
    }

    /// Appends the tokens of a prompt, which is part of the text.
    mutating func append(prompt: [SampledToken]) {
        for token in prompt { append(token) }
        position.endPrompt(prompt.map(\.id))
    }

    mutating func append(_ token: SampledToken) {
        // As they read here, not on their own: the text at a token's offset begins with it.
        let here = position
        tokens.append(.text(here.text(of: token.id)))
        offsets.append(.int(position.append(token.id)))
        guard let logprob = token.logprob else {
            logprobs.append(.null)
            tops.append(.null)
            return
        }
        logprobs.append(.float(logprob))
        // Tokens that read alike are kept apart by their ids; the token itself is there, likely or not.
        var seen: Set<String> = []
        var members: [JSONValue.Member] = []
        let own = token.top.contains { $0.id == token.id } ? [] : [TokenLogprob(id: token.id, logprob: logprob)]
        for entry in token.top.prefix(count) + own {
            var key = here.text(of: entry.id)
            if !seen.insert(key).inserted {
                key = "token_id:\(entry.id)"
                seen.insert(key)
            }
            members.append(JSONValue.Member(key, .float(entry.logprob)))
        }
        tops.append(.object(members))
    }

    var json: JSONValue {
        .object([
            "tokens": .array(tokens), "token_logprobs": .array(logprobs), "top_logprobs": .array(tops),
            "text_offset": .array(offsets),
        ])
    }
}

/// Tokens counted as OpenAI does.
struct Usage {
    var prompt = 0
    var completion = 0
    var cached = 0

    var json: JSONValue {
        .object([
            "prompt_tokens": .int(prompt), "completion_tokens": .int(completion), "total_tokens": .int(prompt + completion),
            "prompt_tokens_details": .object(["cached_tokens": .int(cached)]),
        ])
    }
}
