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
    /// The search for the likeliest outputs, where that is asked for.
    var beams: BeamOptions?

    init(_ fields: RequestFields, models: [ServedModel], limits: ServerLimits, tenant: String) throws(APIError) {
        model = try Self.model(fields, models)
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
        if try fields.string("suffix") != nil { throw .parameter("suffix", "is not supported") }
        self.tenant = try fields.string("cache_salt") ?? tenant
        prompts = try Self.prompts(fields, models[model], limits)
        sampling.options.logprobs = logprobs ?? (bestOf > sampling.n ? 0 : nil)
    }

    /// The model's number; throws 404 where there is none of that name.
    static func model(_ fields: RequestFields, _ models: [ServedModel]) throws(APIError) -> Int {
        guard let name = try fields.string("model") else { throw .parameter("model", "is missing") }
        guard let index = models.firstIndex(where: { $0.id == name }) else {
            throw APIError(
                .notFound,
                "the model '\(name.prefix(100))' does not exist; there are \(models.map(\.id).joined(separator: ", "))",
                parameter: "model", code: "model_not_found")
        }
        return index
    }

    private static func prompts(
        _ fields: RequestFields, _ model: ServedModel, _ limits: ServerLimits
    ) throws(APIError) -> [[Int32]] {
        guard let field = fields.json["prompt"] else { throw .parameter("prompt", "is missing") }
        let special = try fields.bool("add_special_tokens") ?? true
        func encode(_ text: String) throws(APIError) -> [Int32] {
            var ids = model.encode(text, special: special)
            // An empty prompt on a model without BOS: its end-of-text token starts a new text.
            if ids.isEmpty, let eos = model.eosIDs.first { ids = [eos] }
            guard !ids.isEmpty else { throw .parameter("prompt", "is empty, and the model has no token to start from") }
            return ids
        }
        func one(_ value: JSONValue) throws(APIError) -> [Int32] {
            if let text = value.string { return try encode(text) }
            guard let ids = RequestFields.ids(value) else {
                throw .parameter("prompt", "is neither text nor token ids, nor a list of either")
            }
            guard !ids.isEmpty else { throw .parameter("prompt", "has no tokens") }
            return ids
        }
        guard let list = field.array, list.first?.int == nil else { return [try one(field)] }
        guard !list.isEmpty else { throw .parameter("prompt", "is an empty list") }
        guard list.count <= limits.prompts else {
            throw .parameter("prompt", "has \(list.count) prompts, at most \(limits.prompts) are allowed")
        }
        var result: [[Int32]] = []
        for element in list { result.append(try one(element)) }
        return result
    }

    /// One engine request a prompt.
    var requests: [GenerationRequest] {
        prompts.map { prompt in
            var request = GenerationRequest(model: model, prompt: prompt, sampling: sampling.options)
            request.count = bestOf
            request.tenant = tenant
            request.beams = beams
            if echo, let logprobs { request.promptLogprobs = logprobs }
            return request
        }
    }
}
