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
    /// The retention that it asks for; nil for the server's.
    var retention: (any Retention)?
    /// Tokens of its prompt that are compressed for all requests that begin with them; nil where its whole prompt is compressed.
    var prefixTokens: Int?
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
        retention = try fields.retention(limits)
        sampling.options.stopStrings += models[model].chatFormat.stops
        let capacity = capacity(model)
        heldTokens = try limits.check(
            outputs: sampling.n, tokens: min(sampling.options.maxTokens, capacity), logprobs: logprobs)
        let messages = try Self.messages(fields)
        let model = models[model]
        let turns = try Self.turns(messages, fields, model)
        try model.check(turns.joined(), capacity: capacity, parameter: "messages")
        prompt = model.encode(turns: turns)
        prefixTokens = try fields.prefixTokens(limits, shortest: prompt.count)
        if prefixTokens == nil, limits.compressesPrefixes, retention == nil {
            prefixTokens = try model.prefixTokens(of: prompt, messages) { messages throws(APIError) in
                try Self.turns(messages, fields, model)
            }
        }
        heldTokens += sampling.n * prompt.count
    }

    /// The texts of a chat's turns as the model's format has them.
    private static func turns(
        _ messages: [ChatTemplate.Message], _ fields: RequestFields, _ model: ServedModel
    ) throws(APIError) -> [String] {
        let settings = fields.json["chat_template_kwargs"]
        guard settings == nil || settings?.members != nil else { throw .parameter("chat_template_kwargs", "is not an object") }
        let addsGenerationPrompt = try fields.bool("add_generation_prompt") ?? true
        if case .named = model.chatFormat, !addsGenerationPrompt || settings?.members?.isEmpty == false {
            let name = addsGenerationPrompt ? "chat_template_kwargs" : "add_generation_prompt"
            throw .parameter(name, "is not supported: the model has no chat template of its own")
        }
        return try model.chatFormat.turns(
            messages, addsGenerationPrompt: addsGenerationPrompt, settings: settings?.members ?? [])
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
        (request.tenant, request.cacheSalt, request.retention) = (tenant, cacheSalt, retention)
        request.share(prefixTokens)
        return request
    }
}
