import Inference
import JSON

/// A request's JSON body, read strictly: a value of another type than expected is the client's error.
struct RequestFields {
    let json: JSONValue
    /// Bytes of the body.
    let size: Int

    /// Parses a body; throws ``APIError`` where it is no JSON object.
    init(_ body: [UInt8]) throws(APIError) {
        size = body.count
        do {
            json = try JSONValue(parsing: body)
        } catch {
            throw APIError(.badRequest, "the body is not valid JSON: \(error)")
        }
        guard json.members != nil else { throw APIError(.badRequest, "the body is not a JSON object") }
    }

    private func read<Value>(_ key: String, _ expected: String, _ value: (JSONValue) -> Value?) throws(APIError) -> Value? {
        guard let field = json[key] else { return nil }
        guard let value = value(field) else { throw .parameter(key, "is not \(expected)") }
        return value
    }

    func string(_ key: String) throws(APIError) -> String? { try read(key, "a string") { $0.string } }

    func bool(_ key: String) throws(APIError) -> Bool? { try read(key, "true or false") { $0.bool } }

    func int(_ key: String, in range: ClosedRange<Int>) throws(APIError) -> Int? {
        if case .number(let text)? = json[key], json[key]?.int == nil, let value = Double(text), value == value.rounded() {
            // A whole number all the same, beyond all that are counted with here.
            throw .parameter(key, "is \(text.prefix(40)), expected \(range.lowerBound) to \(range.upperBound)")
        }
        guard let value = try read(key, "a whole number", { $0.int }) else { return nil }
        guard range.contains(value) else {
            throw .parameter(key, "is \(value), expected \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    func double(_ key: String, in range: ClosedRange<Double>) throws(APIError) -> Double? {
        guard let value = try read(key, "a finite number", { $0.double }) else { return nil }
        guard range.contains(value) else {
            throw .parameter(key, "is \(value), expected \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// The sampling options that every generating route takes beside its prompt.
    func sampling(_ limits: ServerLimits, maxTokens: Int) throws(APIError) -> SamplingFields {
        try UnsupportedFields.check(json)
        var fields = SamplingFields()
        var options = fields.options
        options.maxTokens = maxTokens
        // The newer name wins.
        for key in ["max_tokens", "max_completion_tokens"] {
            if let count = try int(key, in: 0...Int(Int32.max)) { options.maxTokens = count }
        }
        options.temperature = try double("temperature", in: 0...100) ?? 1
        options.topP = try double("top_p", in: 0...1) ?? 1
        options.minP = try double("min_p", in: 0...1) ?? 0
        // OpenAI's other servers take −1 and 0 for all.
        if let topK = try int("top_k", in: -1...Int(Int32.max)), topK > 0 { options.topK = topK }
        options.presencePenalty = try double("presence_penalty", in: -2...2) ?? 0
        options.frequencyPenalty = try double("frequency_penalty", in: -2...2) ?? 0
        options.repetitionPenalty = try double("repetition_penalty", in: 0.01...100) ?? 1
        if let seed = try int("seed", in: Int.min...Int.max) { options.seed = UInt64(bitPattern: Int64(seed)) }
        options.ignoreEOS = try bool("ignore_eos") ?? false
        options.stopStrings = try stops(limits)
        options.stopIDs = Set(try ids("stop_token_ids", limit: limits.stops) ?? [])
        if let negative = options.stopIDs.first(where: { $0 < 0 }) { throw .parameter("stop_token_ids", "has \(negative)") }
        options.logitBias = try bias(limits)
        fields.options = options
        fields.n = try int("n", in: 1...limits.outputs) ?? 1
        fields.stream = try bool("stream") ?? false
        if let streamOptions = json["stream_options"] {
            guard streamOptions.members != nil else { throw .parameter("stream_options", "is not an object") }
            if let value = streamOptions["include_usage"] {
                guard let flag = value.bool else { throw .parameter("stream_options.include_usage", "is not true or false") }
                fields.includeUsage = flag
            }
        }
        return fields
    }

    private func stops(_ limits: ServerLimits) throws(APIError) -> [String] {
        guard let field = json["stop"] else { return [] }
        let texts: [String]
        if let one = field.string {
            texts = [one]
        } else if let several = field.array, several.allSatisfy({ $0.string != nil }) {
            texts = several.compactMap(\.string)
        } else {
            throw .parameter("stop", "is neither a string nor a list of strings")
        }
        guard texts.count <= limits.stops else {
            throw .parameter("stop", "has \(texts.count) strings, at most \(limits.stops) are allowed")
        }
        guard texts.allSatisfy({ !$0.isEmpty && $0.utf8.count <= limits.stopBytes }) else {
            throw .parameter("stop", "has an empty string or one above \(limits.stopBytes) bytes")
        }
        return texts
    }

    private func bias(_ limits: ServerLimits) throws(APIError) -> [Int32: Float] {
        guard let field = json["logit_bias"] else { return [:] }
        guard let members = field.members else { throw .parameter("logit_bias", "is not an object") }
        guard members.count <= limits.biases else {
            throw .parameter("logit_bias", "has \(members.count) entries, at most \(limits.biases) are allowed")
        }
        var result: [Int32: Float] = [:]
        for member in members {
            guard let id = Int32(member.name), id >= 0, let value = member.value.double, abs(value) <= 100 else {
                throw .parameter("logit_bias", "maps '\(member.name.prefix(40))', expected token ids to numbers from -100 to 100")
            }
            result[id] = Float(value)
        }
        return result
    }

    /// A list of token ids.
    func ids(_ key: String, limit: Int) throws(APIError) -> [Int32]? {
        guard let field = json[key] else { return nil }
        guard let ids = Self.ids(field), ids.count <= limit else {
            throw .parameter(key, "is not a list of at most \(limit) token ids")
        }
        return ids
    }

    static func ids(_ value: JSONValue) -> [Int32]? {
        guard let array = value.array else { return nil }
        var result: [Int32] = []
        result.reserveCapacity(array.count)
        for element in array {
            guard let int = element.int, let id = Int32(exactly: int) else { return nil }
            result.append(id)
        }
        return result
    }
}

/// The options of a generating request.
struct SamplingFields {
    var options = SamplingOptions()
    var n = 1
    var stream = false
    var includeUsage = false
}
