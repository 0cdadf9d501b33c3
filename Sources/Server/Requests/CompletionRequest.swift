import Inference
import JSON

/// A request to /v1/completions, read and checked.
struct CompletionRequest {
    var model: Int
    /// Each prompt's tokens.
    var prompts: [[Int32]]
    var sampling: SamplingFields
    /// Outputs drawn for each prompt, of which the best `sampling.n` are shown.
    var bestOf: Int
    var echo: Bool
    /// Likeliest tokens beside each, where log-probabilities are wanted.
    var logprobs: Int?
    var tenant: String
    /// The digest that divides the tenant's prefix cache.
    var cacheSalt: String
    /// The retention that it asks for; nil for the server's.
    var retention: (any Retention)?
    /// Tokens of each prompt that are compressed for all requests that begin with them; nil where whole prompts are compressed.
    var prefixTokens: Int?
    /// The search for the likeliest outputs, where that is asked for.
    var beams: BeamOptions?
    /// Tokens of its prompts and answer, likeliest ones included.
    var heldTokens: Int

    /// Reads a request whose model's sequences hold `capacity` tokens at most.
    init(
        _ fields: RequestFields, models: [ServedModel], limits: ServerLimits, capacity: (Int) -> Int, tenant: String
    ) throws(APIError) {
        model = try Self.model(fields, models)
        let capacity = capacity(model)
        sampling = try fields.sampling(limits, maxTokens: 16)
        echo = try fields.bool("echo") ?? false
        logprobs = try fields.int("logprobs", in: 0...limits.logprobs)
        bestOf = try fields.int("best_of", in: 1...limits.outputs) ?? sampling.n
        guard bestOf >= sampling.n else { throw .parameter("best_of", "is \(bestOf), below 'n', which is \(sampling.n)") }
        if try fields.bool("use_beam_search") ?? false {
            var options = BeamOptions(width: bestOf)
            options.lengthPenalty = try fields.double("length_penalty", in: -100...100) ?? 1
            options.stopsEarly = try fields.bool("early_stopping") ?? false
            beams = options
            bestOf = sampling.n
            guard !sampling.stream else { throw .parameter("use_beam_search", "cannot be streamed") }
        }
        guard !sampling.stream || bestOf == sampling.n else { throw .parameter("best_of", "cannot be streamed") }
        self.tenant = tenant
        cacheSalt = try fields.cacheSalt()
        retention = try fields.retention(limits)
        sampling.options.logprobs = logprobs ?? (bestOf > sampling.n ? 0 : nil)
        let values = try Self.promptValues(fields, limits)
        let outputs = values.count * (beams?.width ?? bestOf)
        heldTokens = try limits.check(
            outputs: outputs, tokens: min(sampling.options.maxTokens, capacity), logprobs: logprobs)
        prompts = try Self.prompts(values, models[model], special: try fields.bool("add_special_tokens") ?? true, capacity)
        prefixTokens = try fields.prefixTokens(limits, shortest: prompts.map(\.count).min() ?? 1)
        let promptTokens = prompts.reduce(0) { $0 + $1.count }
        // Each output goes on from a copy of its prompt.
        heldTokens += promptTokens * (beams?.width ?? bestOf)
        // A prompt that is scored comes back with as much for each of its tokens.
        if echo, logprobs != nil { heldTokens += try limits.check(outputs: 1, tokens: promptTokens, logprobs: logprobs) }
    }

    /// The model's place; throws 404 where none has that name.
    static func model(_ fields: RequestFields, _ models: [ServedModel]) throws(APIError) -> Int {
        guard let name = try fields.string("model") else { throw .parameter("model", "is missing") }
        return try models.index(named: name)
    }

    /// The prompts as they were sent, each a text or a list of ids.
    private static func promptValues(_ fields: RequestFields, _ limits: ServerLimits) throws(APIError) -> [JSONValue] {
        guard let field = fields.json["prompt"] else { throw .parameter("prompt", "is missing") }
        guard let list = field.array, list.first?.int == nil else { return [field] }
        guard !list.isEmpty else { throw .parameter("prompt", "is an empty list") }
        guard list.count <= limits.prompts else {
            throw .parameter("prompt", "has \(list.count) prompts, at most \(limits.prompts) are allowed")
        }
        return list
    }

    private static func prompts(
        _ values: [JSONValue], _ model: ServedModel, special: Bool, _ capacity: Int
    ) throws(APIError) -> [[Int32]] {
        // All are looked at before the first is tokenized.
        for value in values { if let text = value.string { try model.check(text, capacity: capacity, parameter: "prompt") } }
        var result: [[Int32]] = []
        for value in values {
            guard let text = value.string else {
                guard let ids = RequestFields.ids(value) else {
                    throw .parameter("prompt", "is neither text nor token ids, nor a list of either")
                }
                guard !ids.isEmpty else { throw .parameter("prompt", "has no tokens") }
                result.append(ids)
                continue
            }
            var ids = model.encode(text, special: special)
            // An empty prompt on a model without BOS: its end-of-text token starts a new text.
            if ids.isEmpty, let eos = model.eosIDs.first { ids = [eos] }
            guard !ids.isEmpty else { throw .parameter("prompt", "is empty, and the model has no token to start from") }
            result.append(ids)
        }
        return result
    }

    /// One engine request a prompt.
    var requests: [GenerationRequest] {
        prompts.map { prompt in
            var request = GenerationRequest(model: model, prompt: prompt, sampling: sampling.options)
            request.count = bestOf
            (request.tenant, request.cacheSalt) = (tenant, cacheSalt)
            (request.beams, request.retention) = (beams, retention)
            request.share(prefixTokens)
            if echo, let logprobs { request.promptLogprobs = logprobs }
            return request
        }
    }
}
