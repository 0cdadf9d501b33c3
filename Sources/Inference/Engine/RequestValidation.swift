extension GenerationRequest {
    /// Throws the first reason why a model of `vocabulary`, with sequences of at most `capacity` tokens, cannot serve the
    /// request.
    public func validate(vocabulary: Int, capacity: Int) throws(InferenceError) {
        guard !prompt.isEmpty else { throw .emptyPrompt }
        if let odd = prompt.first(where: { $0 < 0 || Int($0) >= vocabulary }) { throw .token(odd, vocabulary: vocabulary) }
        // The last token sampled is never stored.
        guard prompt.count <= capacity else { throw .promptTooLong(tokens: prompt.count, limit: capacity) }
        guard count >= 1, count <= 128 else { throw .sampling(option: "n", value: "\(count)", expected: "1 to 128") }
        try sampling.validate(vocabulary: vocabulary)
        try beams?.validate(count: count, sampling)
    }
}

extension BeamOptions {
    /// Throws the first option that a beam search for `count` outputs does not support.
    func validate(count: Int, _ sampling: SamplingOptions) throws(InferenceError) {
        guard width >= count, width <= 128 else {
            throw .sampling(option: "best_of", value: "\(width)", expected: "\(count) to 128 beams")
        }
        guard lengthPenalty.isFinite, abs(lengthPenalty) <= 100 else {
            throw .sampling(option: "length_penalty", value: "\(lengthPenalty)", expected: "-100 to 100")
        }
        guard sampling.stopStrings.isEmpty else {
            throw .sampling(option: "stop", value: "strings", expected: "stop_token_ids with beam search")
        }
        guard sampling.minTokens == 0 else {
            throw .sampling(option: "min_tokens", value: "\(sampling.minTokens)", expected: "0 with beam search")
        }
        guard sampling.logitBias.isEmpty, sampling.presencePenalty == 0, sampling.frequencyPenalty == 0,
            sampling.repetitionPenalty == 1
        else {
            throw .sampling(option: "use_beam_search", value: "true", expected: "no penalties and no logit_bias")
        }
    }
}

extension SamplingOptions {
    /// Throws the first option that is outside its range.
    public func validate(vocabulary: Int) throws(InferenceError) {
        func check(_ option: String, _ value: Double, _ range: ClosedRange<Double>) throws(InferenceError) {
            guard range.contains(value) else {
                throw .sampling(option: option, value: "\(value)", expected: "\(range.lowerBound) to \(range.upperBound)")
            }
        }
        guard maxTokens >= 0 else { throw .sampling(option: "max_tokens", value: "\(maxTokens)", expected: "0 or more") }
        guard minTokens >= 0 else { throw .sampling(option: "min_tokens", value: "\(minTokens)", expected: "0 or more") }
        try check("temperature", temperature, 0...100)
        try check("top_p", topP, 0...1)
        try check("min_p", minP, 0...1)
        try check("presence_penalty", presencePenalty, -100...100)
        try check("frequency_penalty", frequencyPenalty, -100...100)
        try check("repetition_penalty", repetitionPenalty, 0.01...100)
        if let topK, topK < 1 { throw .sampling(option: "top_k", value: "\(topK)", expected: "1 or more") }
        if let logprobs, logprobs < 0 || logprobs > vocabulary {
            throw .sampling(option: "logprobs", value: "\(logprobs)", expected: "0 to \(vocabulary)")
        }
        if let (id, bias) = logitBias.first(where: { !$0.value.isFinite || $0.key < 0 || Int($0.key) >= vocabulary }) {
            throw .sampling(option: "logit_bias", value: "\(id): \(bias)", expected: "finite numbers for tokens of the model")
        }
        guard stopStrings.allSatisfy({ !$0.isEmpty }) else {
            throw .sampling(option: "stop", value: "\"\"", expected: "strings that are not empty")
        }
    }
}
